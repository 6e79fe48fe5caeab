{#- dbt-duckdb reads a source that lies in files by their path. -#}
{% macro source_location(node) %}{{ return(adapter.dispatch('source_location', 'feature_store')(node)) }}{% endmacro %}

{% macro duckdb__source_location(node) %}
    {%- set settings = {} -%}
    {%- do settings.update(node.get('meta') or {}) -%}
    {%- do settings.update(node.config) -%}
    {%- do settings.update(node.config.get('meta') or {}) -%}
    {%- if node.resource_type | string != 'source' or not settings.get('external_location') -%} {{ return(none) }} {%- endif -%}
    {%- do settings.update({
        'name': node.name, 'identifier': node.identifier, 'schema': node.schema, 'database': node.database,
    }) -%}
    {%- if settings.get('formatter', 'newstyle') != 'newstyle' -%}
        {{ exceptions.raise_compiler_error(
            node.source_name ~ '.' ~ node.name ~ ': write its external_location for the formatter newstyle, with {name}'
        ) }}
    {%- endif -%}
    {%- set location = settings['external_location'].format(**settings) -%}
    {{ return(location if '(' in location or location.startswith("'") else "'" ~ location ~ "'") }}
{% endmacro %}
