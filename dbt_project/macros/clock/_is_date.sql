{#- Whether a text is a day of the calendar, written YYYY-MM-DD. -#}
{% macro _is_date(text) %}
    {%- set found = modules.re.match('^(\\d{4})-(\\d{2})-(\\d{2})$', text) -%}
    {%- if not found -%} {{ return(false) }} {%- endif -%}
    {%- set year, month, day = found.group(1) | int, found.group(2) | int, found.group(3) | int -%}
    {%- if year < 1 or year > 9998 or month < 1 or month > 12 -%} {{ return(false) }} {%- endif -%}
    {%- set first = modules.datetime.date(year, month, 1) -%}
    {%- set next_first = modules.datetime.date(year + month // 12, month % 12 + 1, 1) -%}
    {{ return(1 <= day <= (next_first - first).days) }}
{% endmacro %}
