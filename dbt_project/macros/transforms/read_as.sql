{#- A decimal goes through its text, which is read to the nearest double; NaN and infinity have no published form. -#}
{% macro read_as(x, type, kind) %}
    {%- if kind == 'category' and type in ['string', 'int64', 'boolean', 'date'] -%}
        {#- A uuid is a string when it is published. -#}
        {{ return('cast(' ~ x ~ ' as varchar)') }}
    {%- elif kind == 'number' -%}
        {%- if type == 'double' -%} {{ return(feature_store.finite(x)) }}
        {%- elif type in ['int64', 'boolean'] -%} {{ return('cast(' ~ x ~ ' as double)') }}
        {%- elif type.startswith('decimal') -%} {{ return('cast(cast(' ~ x ~ ' as varchar) as double)') }}
        {%- endif -%}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}
