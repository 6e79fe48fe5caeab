{#- The sum of doubles depends on their order. -#}
{% macro ordered_sum(x, order) %}{{ return(adapter.dispatch('ordered_sum', 'feature_store')(x, order)) }}{% endmacro %}

{% macro duckdb__ordered_sum(x, order) -%}
    sum({{ x }} order by {{ order | join(', ') }})
{%- endmacro %}
