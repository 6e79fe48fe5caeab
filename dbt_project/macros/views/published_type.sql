{#- The published type of a declared SQL type, none for one without. The registry of the materializer has the same table, and
    a test compares the two. -#}
{% macro published_type(declared) %}
    {%- set type = (declared or '') | trim | lower -%}
    {%- set of = modules.re.match('^(.+)\\[\\d*\\]$', type) -%}
    {%- if of -%}
        {%- set element = feature_store.published_type(of.group(1)) -%}
        {{ return('array<' ~ element ~ '>' if element and not element.startswith('array') else none) }}
    {%- elif modules.re.match('^decimal\\(\\d+, ?\\d+\\)$', type) -%}
        {{ return(type | replace(' ', '')) }}
    {%- endif -%}
    {{ return(feature_store._published_types().get(type)) }}
{% endmacro %}

{% macro _published_types() %}
    {{ return({
        'varchar': 'string', 'string': 'string', 'text': 'string', 'uuid': 'string',
        'bigint': 'int64', 'int': 'int64', 'integer': 'int64', 'smallint': 'int64', 'tinyint': 'int64',
        'uinteger': 'int64', 'usmallint': 'int64', 'utinyint': 'int64',
        'double': 'double', 'float': 'double', 'real': 'double', 'boolean': 'boolean', 'bool': 'boolean', 'date': 'date',
        'timestamp': 'timestamp', 'timestamptz': 'timestamp', 'timestamp with time zone': 'timestamp',
    }) }}
{% endmacro %}

{#- The SQL type in which a declared one is published, none for one without. -#}
{% macro published_sql_type(declared) %}
    {%- set published = feature_store.published_type(declared) -%}
    {%- set names = {'string': 'varchar', 'int64': 'bigint'} -%}
    {%- if published and published.startswith('array<') -%}
        {%- set element = published[6:-1] -%}
        {{ return(names.get(element, element) ~ '[]') }}
    {%- endif -%}
    {{ return(names.get(published, published)) }}
{% endmacro %}
