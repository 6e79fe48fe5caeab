{% macro backfill_chunk_days() %}
    {{ return(feature_store._days('backfill_chunk_days', var('backfill_chunk_days', none), 31)) }}
{% endmacro %}

{#- The default is here too, for a project that has this one as a package: dbt gives it none of the package's vars. -#}
{% macro _days(name, given, default) %}
    {%- set days = default if given is none else given -%}
    {%- if not modules.re.match('^[1-9]\\d{0,4}$', days | string) -%}
        {{ exceptions.raise_compiler_error(name ~ ": " ~ days ~ " is not a number of days; write " ~ default) }}
    {%- endif -%}
    {{ return(days | int) }}
{% endmacro %}
