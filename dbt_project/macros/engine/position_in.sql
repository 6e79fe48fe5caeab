{% macro position_in(list, x) %}{{ return(adapter.dispatch('position_in', 'feature_store')(list, x)) }}{% endmacro %}

{% macro duckdb__position_in(list, x) -%}
    cast(coalesce(list_position({{ list }}, {{ x }}), 0) - 1 as bigint)
{%- endmacro %}
