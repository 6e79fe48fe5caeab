{% macro built_days(model_name) %}{{ return(feature_store._built_days_of(feature_store.model_id(model_name))) }}{% endmacro %}

{% macro _built_days_of(unique_id) %}
    (
        select day
        from {{ feature_store.record('build_ledger') }}
        where model = '{{ unique_id }}' and day is not null
        group by day
        having max("sequence") = max(case when not {{ feature_store.is_removal('reason') }} then "sequence" end)
    )
{%- endmacro %}

{#- By its alias too, which a version of a model has. -#}
{% macro model_id(model_name) %}
    {%- set unique_id = 'model.' ~ project_name ~ '.' ~ model_name -%}
    {#- A unit test has no graph. -#}
    {%- set nodes = graph.get('nodes', {}) if execute else {} -%}
    {%- if unique_id not in nodes -%}
        {%- for node in nodes.values() if node.resource_type == 'model' and node.alias == model_name -%}
            {{ return(node.unique_id) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(unique_id) }}
{% endmacro %}
