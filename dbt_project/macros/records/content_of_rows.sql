{#- In the published form, such as 64 bits for every integer: the same number can be computed from what was
    published. -#}
{% macro content_of_rows(model_name=none) %}
    {%- set node = graph.nodes[feature_store.model_id(model_name)] if model_name and execute else model -%}
    {%- set values = [] -%}
    {%- for column in node.columns.values() or feature_store._columns_in_warehouse(node) -%}
        {%- set published = feature_store.published_sql_type(column.data_type) -%}
        {%- set name = feature_store.quoted(column.name) -%}
        {%- do values.append('cast(' ~ name ~ ' as ' ~ published ~ ')' if published else name) -%}
    {%- endfor -%}
    {{ return(
        "concat(cast(count(*) as varchar), ':', cast(coalesce(sum(" ~ feature_store.row_hash(values) ~ "), 0) as varchar))"
    ) }}
{% endmacro %}

{#- The columns of a feature view are known once its parameters are. -#}
{% macro _columns_in_warehouse(node) %}
    {{ return(adapter.get_columns_in_relation(this) if execute and node.unique_id == model.unique_id else []) }}
{% endmacro %}
