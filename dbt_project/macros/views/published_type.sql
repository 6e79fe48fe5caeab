{#- The published type of a declared SQL type, none for one without. The registry of the materializer has the same table, and
    a test compares the two. -#}
{% macro published_type(declared) %}
    {%- set names = {
        'varchar': 'string', 'string': 'string', 'text': 'string', 'uuid': 'string',
        'bigint': 'int64', 'int': 'int64', 'integer': 'int64', 'smallint': 'int64', 'tinyint': 'int64',
        'double': 'double', 'boolean': 'boolean', 'date': 'date', 'timestamp': 'timestamp',
    } -%}
    {%- set type = (declared or '') | trim | lower -%}
    {%- if type.endswith('[]') -%}
        {%- set element = feature_store.published_type(type[:-2]) -%}
        {{ return('array<' ~ element ~ '>' if element and not element.startswith('array') else none) }}
    {%- elif modules.re.match('^decimal\\(\\d+, ?\\d+\\)$', type) -%}
        {{ return(type | replace(' ', '')) }}
    {%- endif -%}
    {{ return(names.get(type)) }}
{% endmacro %}
