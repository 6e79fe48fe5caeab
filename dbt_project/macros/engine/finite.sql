{% macro finite(x) %}{{ return(adapter.dispatch('finite', 'feature_store')(x)) }}{% endmacro %}

{% macro duckdb__finite(x) -%}
    case when isfinite({{ x }}) then {{ x }} end
{%- endmacro %}
