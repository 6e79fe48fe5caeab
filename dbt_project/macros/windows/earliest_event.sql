{#- No day before it is built. One event of 1970 among those of this year would otherwise make twenty thousand days, and
    every day since would seem to have events that are still kept. -#}
{% macro earliest_event() %}
    {%- set given = var('earliest_event', '1990-01-01') | string -%}
    {%- if not feature_store._is_date(given) -%}
        {{ exceptions.raise_compiler_error('earliest_event: ' ~ given ~ " is not a date; write --vars '{earliest_event: 2020-01-01}'") }}
    {%- endif -%}
    {{ return("date '" ~ given ~ "'") }}
{% endmacro %}
