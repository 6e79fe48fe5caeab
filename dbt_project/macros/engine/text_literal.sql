{#- Engines differ in how a quote is written inside a text. -#}
{% macro text_literal(text) %}{{ return(adapter.dispatch('text_literal', 'feature_store')(text)) }}{% endmacro %}

{% macro duckdb__text_literal(text) %}{{ return("'" ~ text | replace("'", "''") ~ "'") }}{% endmacro %}
