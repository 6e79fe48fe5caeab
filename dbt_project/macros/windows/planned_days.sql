{#- Read from the plan that the model's pre-hook wrote in the same transaction: the SQL of the model stays
    the same text whatever is built, and the days are computed once. -#}
{% macro planned_days() %}
    {#- Checked here so that a bad range stops the run while it parses, before any verdict is touched. -#}
    {%- do feature_store.requested_range() -%}
    {%- set unique_id = model.get('tested_node_unique_id') or model.unique_id -%}
    (
        select day, available_at
        from {{ feature_store.record('build_plan') }}
        where model = '{{ unique_id }}' and rebuild and chunk = 0
    )
{%- endmacro %}
