{#- adapter.quote leaves a quote inside a name as it is. -#}
{% macro quoted(name) %}{{ return(adapter.dispatch('quoted', 'feature_store')(name)) }}{% endmacro %}

{% macro quoted_list(names) %}
    {%- set found = [] -%}
    {%- for name in names -%} {%- do found.append(feature_store.quoted(name)) -%} {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{% macro duckdb__quoted(name) -%}
    {{ return('"' ~ name | replace('"', '""') ~ '"') }}
{%- endmacro %}
