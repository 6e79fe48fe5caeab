{#- A reader that has a clock of its own sets the variable, as the materializer does. -#}
{% macro reader_last_finished_day() %}{{ return(adapter.dispatch('reader_last_finished_day', 'feature_store')()) }}{% endmacro %}

{% macro duckdb__reader_last_finished_day() -%}
    coalesce(cast(getvariable('last_finished_day') as date), cast(timezone('UTC', now()) as date) - 1)
{%- endmacro %}
