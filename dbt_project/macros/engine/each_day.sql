{#- A column of dates: one row for every day from the first to the last, both included, none when the
    first is after the last. Null bounds make no row. -#}
{% macro each_day(first, last) %}{{ return(adapter.dispatch('each_day', 'feature_store')(first, last)) }}{% endmacro %}

{% macro duckdb__each_day(first, last) -%}
    cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date)
{%- endmacro %}
