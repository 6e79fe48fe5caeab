{#- Ordered: the sum of doubles depends on the order, and threads would give another one each time. -#}
{% macro stable_average(x) %}{{ return(adapter.dispatch('stable_average', 'feature_store')(x)) }}{% endmacro %}

{% macro duckdb__stable_average(x) -%}
    {{ feature_store.finite('avg(' ~ x ~ ' order by ' ~ x ~ ')') }}
{%- endmacro %}
