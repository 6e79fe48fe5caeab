{% macro count_up_to(list, x) %}{{ return(adapter.dispatch('count_up_to', 'feature_store')(list, x)) }}{% endmacro %}

{% macro duckdb__count_up_to(list, x) -%}
    cast(len(list_filter({{ list }}, lambda boundary: boundary <= {{ x }})) as bigint)
{%- endmacro %}
