{#- By code points, whatever the collation of the machine. -#}
{% macro distinct_sorted(x) %}{{ return(adapter.dispatch('distinct_sorted', 'feature_store')(x)) }}{% endmacro %}

{% macro duckdb__distinct_sorted(x) -%}
    coalesce(list_sort(list(distinct {{ x }}) filter ({{ x }} is not null)), cast([] as varchar []))
{%- endmacro %}
