{% macro clear_plan() %}
    delete from {{ feature_store.record('build_plan') }} where model = '{{ model.unique_id }}'
{% endmacro %}
