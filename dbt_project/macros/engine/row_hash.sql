{#- Fingerprints add these up: an exclusive-or would cancel two equal rows. Another engine or version may
    hash differently; then days look changed once and are built again. -#}
{% macro row_hash(columns) %}{{ return(adapter.dispatch('row_hash', 'feature_store')(columns)) }}{% endmacro %}

{% macro duckdb__row_hash(columns) -%}
    hash({{ columns | join(', ') }})
{%- endmacro %}
