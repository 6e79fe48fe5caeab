{#- 0 and -0 are equal and differ in a bit: which of the two an aggregate returns would depend on the order. -#}
{% macro finite_or_refuse(x, message) %}{{ return(adapter.dispatch('finite_or_refuse', 'feature_store')(x, message)) }}{% endmacro %}

{% macro duckdb__finite_or_refuse(x, message) -%}
    case when not isfinite(cast({{ x }} as double)) then {{ feature_store.refuse(message) }} when {{ x }} = 0 then cast(0 as double) else cast({{ x }} as double) end
{%- endmacro %}
