{% macro each_day(first, last) %}{{ return(adapter.dispatch('each_day', 'feature_store')(first, last)) }}{% endmacro %}

{% macro duckdb__each_day(first, last) -%}
    cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date)
{%- endmacro %}
