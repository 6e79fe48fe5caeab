{% macro backfill_chunk_days() %}
    {%- set days = var('backfill_chunk_days') -%}
    {%- if not modules.re.match('^[1-9]\\d{0,4}$', days | string) -%}
        {{ exceptions.raise_compiler_error(
            "backfill_chunk_days: " ~ days ~ " is not a number of days; write 31"
        ) }}
    {%- endif -%}
    {{ return(days | int) }}
{% endmacro %}
