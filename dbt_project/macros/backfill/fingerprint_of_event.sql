{#- Whatever the model reads of an event may change a feature: so of every column that the input has. -#}
{% macro fingerprint_of_event(columns) %}
    {%- set names = [] -%}
    {%- for column in columns -%} {%- do names.append(feature_store.quoted(column)) -%} {%- endfor -%}
    {{ return(feature_store.row_hash(names)) }}
{% endmacro %}
