{% macro clear_plan() %}
    delete from {{ source('records', 'build_plan') }} where model = '{{ model.unique_id }}'
{% endmacro %}
