{% macro days_between(earlier, later) %}{{ return(adapter.dispatch('days_between', 'feature_store')(earlier, later)) }}{% endmacro %}

{% macro duckdb__days_between(earlier, later) -%}
    cast({{ later }} - {{ earlier }} as integer)
{%- endmacro %}
