{% macro add_days(date, days) %}{{ return(adapter.dispatch('add_days', 'feature_store')(date, days)) }}{% endmacro %}

{% macro duckdb__add_days(date, days) -%}
    ({{ date }} + {{ days }})
{%- endmacro %}
