{% macro stable_deviation(x) %}{{ return(adapter.dispatch('stable_deviation', 'feature_store')(x)) }}{% endmacro %}

{% macro duckdb__stable_deviation(x) -%}
    {{ feature_store.finite('stddev_pop(' ~ x ~ ' order by ' ~ x ~ ')') }}
{%- endmacro %}
