{#- What has no one spelling, such as a floating-point id, is refused rather than guessed. -#}
{% macro read_column(column, type, kind) %}{{ return(adapter.dispatch('read_column', 'feature_store')(column, type, kind)) }}{% endmacro %}

{% macro duckdb__read_column(column, type, kind) %}
    {%- set whole = ['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT'] -%}
    {%- if kind == 'text' -%}
        {%- if type == 'VARCHAR' -%} {{ return(column) }}
        {%- elif type in whole or type == 'UUID' or type.startswith('ENUM') or modules.re.match('DECIMAL\\(\\d+,0\\)', type) -%}
            {{ return('cast(' ~ column ~ ' as varchar)') }}
        {%- endif -%}
    {%- elif kind == 'time' -%}
        {#- A plain column, not a cast, lets the scan skip files and row groups by their statistics. -#}
        {%- if type == 'TIMESTAMP' -%} {{ return(column) }}
        {%- elif type in ['TIMESTAMP_S', 'TIMESTAMP_MS', 'DATE'] -%}
            {{ return('cast(' ~ column ~ ' as timestamp)') }}
        {%- elif type == 'TIMESTAMP_NS' -%}
            {#- A cast would round 23:59:59.9999999 into the next day. -#}
            {{ return('make_timestamp(epoch_ns(' ~ column ~ ') // 1000 - cast(epoch_ns(' ~ column ~ ') % 1000 < 0 as bigint))') }}
        {%- elif type == 'TIMESTAMP WITH TIME ZONE' -%}
            {{ return("timezone('UTC', " ~ column ~ ")") }}
        {%- elif type == 'VARCHAR' -%}
            {#- As a plain timestamp the offset would be dropped silently. -#}
            {{ return("timezone('UTC', try_cast(" ~ column ~ " as timestamptz))") }}
        {%- endif -%}
    {%- elif kind == 'number' -%}
        {%- if type == 'DOUBLE' -%} {{ return(column) }}
        {%- elif type in whole or type in ['FLOAT', 'BOOLEAN'] or type.startswith('DECIMAL') -%}
            {{ return('cast(' ~ column ~ ' as double)') }}
        {%- elif type == 'VARCHAR' -%} {{ return('try_cast(' ~ column ~ ' as double)') }}
        {%- endif -%}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}
