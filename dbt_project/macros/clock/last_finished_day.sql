{#- A day is built from D + 1 day 00:00 UTC on, not a moment earlier. -#}
{% macro last_finished_day() %}
    {{ return((feature_store.store_now() - modules.datetime.timedelta(days=1)).date()) }}
{% endmacro %}
