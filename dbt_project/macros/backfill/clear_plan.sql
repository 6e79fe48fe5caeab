{#- Forget the plan of an earlier build of this model. -#}
{% macro clear_plan() %}
    delete from {{ source('records', 'build_plan') }} where model = '{{ model.unique_id }}'
{% endmacro %}
