{% macro as_json(parts) %}{{ return(adapter.dispatch('as_json', 'feature_store')(parts)) }}{% endmacro %}

{% macro duckdb__as_json(parts) -%}
    {%- set pairs = [] -%}
    {%- for name, value in parts.items() -%} {%- do pairs.append("'" ~ name ~ "', " ~ value) -%} {%- endfor -%}
    cast(json_object({{ pairs | join(', ') }}) as varchar)
{%- endmacro %}
