{#- Read from the relation itself, so that a view and what reads it agree. -#}
{% macro has_column(relation, name) %}
    {{ return(name in feature_store.column_types(relation, name)) }}
{% endmacro %}
