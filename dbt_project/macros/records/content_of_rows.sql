{#- In the published form, where every integer has 64 bits: the same number can be computed from what was
    published. -#}
{% macro content_of_rows(model_name=none) %}
    {%- set node = graph.nodes[feature_store.model_id(model_name)] if model_name and execute else model -%}
    {%- set values = [] -%}
    {%- for column in node.columns.values() -%}
        {%- set is_short = column.data_type | lower in ['tinyint', 'smallint', 'int', 'integer'] -%}
        {%- do values.append('cast(' ~ column.name ~ ' as bigint)' if is_short else column.name) -%}
    {%- endfor -%}
    {{ return(
        "concat(cast(count(*) as varchar), ':', cast(coalesce(sum(" ~ feature_store.row_hash(values) ~ "), 0) as varchar))"
    ) }}
{% endmacro %}
