{#- A number goes as text: DuckDB would read 0.1 as a decimal, and 1e400 not at all. -#}
{% macro as_literal(value, type=none) %}
    {%- if value is none -%} {{ return('cast(null as ' ~ (type or 'varchar') ~ ')') }}
    {%- elif value is string -%} {{ return(feature_store.text_literal(value)) }}
    {%- elif value is boolean or value is number -%}
        {{ return("cast('" ~ (value | float if value is not boolean else value | int) ~ "' as double)") }}
    {%- endif -%}
    {%- set parts = [] -%}
    {%- for one in value -%} {%- do parts.append(feature_store.as_literal(one)) -%} {%- endfor -%}
    {{ return('cast([' ~ parts | join(', ') ~ '] as ' ~ ('double' if type == 'double' else 'varchar') ~ ' [])') }}
{% endmacro %}
