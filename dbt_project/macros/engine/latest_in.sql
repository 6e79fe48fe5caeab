{% macro latest_in(array) %}{{ return(adapter.dispatch('latest_in', 'feature_store')(array)) }}{% endmacro %}

{% macro duckdb__latest_in(array) -%}
    list_max({{ array }})
{%- endmacro %}
