{#- A bad range stops the run here, before anything is built, with what to write instead. -#}
{% macro requested_range() %}
    {%- set start, end = var('start_date', none), var('end_date', none) -%}
    {%- if start is none and end is none -%} {{ return(none) }} {%- endif -%}
    {%- set example = "write --vars '{start_date: 2024-01-01, end_date: 2024-01-07}'" -%}
    {%- if start is none or end is none -%}
        {{ exceptions.raise_compiler_error(
            ("start_date" if start is none else "end_date") ~ " is missing; " ~ example
        ) }}
    {%- endif -%}
    {%- for name, given in [('start_date', start), ('end_date', end)] -%}
        {%- if not feature_store._is_date(given | string) -%}
            {{ exceptions.raise_compiler_error(
                name ~ ": " ~ given ~ " is not a date; " ~ example
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set first = modules.datetime.date.fromisoformat(start | string) -%}
    {%- set last = modules.datetime.date.fromisoformat(end | string) -%}
    {%- if first > last -%}
        {{ exceptions.raise_compiler_error(
            "start_date " ~ first ~ " is after end_date " ~ last ~ "; swap them"
        ) }}
    {%- endif -%}
    {%- if last > feature_store.last_finished_day() -%}
        {{ exceptions.raise_compiler_error(
            "end_date: " ~ last ~ " is not over yet; the last finished day (UTC) is "
            ~ feature_store.last_finished_day() ~ ", write end_date: " ~ feature_store.last_finished_day()
        ) }}
    {%- endif -%}
    {%- if flags.FULL_REFRESH -%}
        {{ exceptions.raise_compiler_error(
            "a date range with --full-refresh would drop every other day; "
            "leave out --full-refresh, or the range"
        ) }}
    {%- endif -%}
    {{ return([first, last]) }}
{% endmacro %}
