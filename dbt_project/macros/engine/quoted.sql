{#- adapter.quote leaves a quote inside a name as it is. -#}
{% macro quoted(name) %}{{ return(adapter.dispatch('quoted', 'feature_store')(name)) }}{% endmacro %}

{% macro duckdb__quoted(name) -%}
    {{ return('"' ~ name | replace('"', '""') ~ '"') }}
{%- endmacro %}
