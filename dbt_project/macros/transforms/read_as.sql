{#- A decimal goes through its text, which is read to the nearest double; NaN and infinity have no published form. -#}
{% macro read_as(x, type, kind) %}
    {%- set type = type | lower -%}
    {%- set whole = ['tinyint', 'smallint', 'int', 'integer', 'bigint'] -%}
    {%- if kind == 'category' -%}
        {%- if type in ['varchar', 'string', 'text'] -%} {{ return(x) }}
        {%- elif type in whole + ['boolean', 'date', 'uuid'] -%} {{ return('cast(' ~ x ~ ' as varchar)') }}
        {%- endif -%}
    {%- elif type == 'double' -%} {{ return(feature_store.finite(x)) }}
    {%- elif type in whole + ['boolean'] -%} {{ return('cast(' ~ x ~ ' as double)') }}
    {%- elif type.startswith('decimal') -%} {{ return('cast(cast(' ~ x ~ ' as varchar) as double)') }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}
