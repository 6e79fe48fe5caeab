{% macro refuse(message) %}{{ return(adapter.dispatch('refuse', 'feature_store')(message)) }}{% endmacro %}

{% macro duckdb__refuse(message) -%}
    error({{ message }})
{%- endmacro %}
