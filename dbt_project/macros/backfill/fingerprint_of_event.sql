{#- Whatever the model reads of an event may change a feature: so of every column that the input has. -#}
{% macro fingerprint_of_event(columns) %}
    {{ return(feature_store.row_hash(feature_store.quoted_list(columns))) }}
{% endmacro %}
