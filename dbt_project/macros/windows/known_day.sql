{#- A snapshot of day D holds what arrived before its `available_at`, D + 1 day 00:00 plus the lag. So an event
    is known to the first D with D + 1 day > ingested_at - lag, which is that moment's own day. -#}
{% macro known_day(ts, ingested_at) -%}
    greatest(cast({{ ts }} as date), cast({{ feature_store.add_hours(ingested_at, -feature_store.availability_lag_hours()) }} as date))
{%- endmacro %}
