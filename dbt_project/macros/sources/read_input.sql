{#- Each file is read by its own types: what one file has as a number and another as text comes out the same. The
    types of the first file would turn the id 007 of a later one into 7. -#}
{% macro read_input(var_name, sample, required, optional={}, narrowed=false) %}
    {#- Into the manifest, under a key of its own, so that a command knows its inputs before it builds anything. -#}
    {%- do config(meta={'input ' ~ var_name: feature_store._plain(var(var_name, none) or none)}) -%}
    {%- set kinds = dict(required, **optional) -%}
    {%- set input = feature_store.input_files(var_name) -%}
    {%- if input is none and not feature_store.reads_sample(var_name) -%}
        {%- set nulls = [] -%}
        {%- for column in required -%} {%- do nulls.append('cast(null as varchar) as ' ~ feature_store.quoted(column)) -%} {%- endfor -%}
        {%- set parts = [{'relation': '(select ' ~ nulls | join(', ') ~ ' where false)', 'types': {}, 'name': 'none'}] -%}
    {%- elif input is none -%}
        {%- set types = feature_store.column_types(sample, var_name) -%}
        {%- set parts = [{'relation': sample | string, 'types': types, 'name': sample.identifier}] -%}
    {%- elif execute -%}
        {%- set parts = feature_store.file_parts(input, kinds, narrowed) -%}
    {%- else -%}
        {%- set parts = [] -%}
    {%- endif -%}
    {%- set columns = dict(required) -%}
    {%- for part in parts -%}
        {%- for column, kind in optional.items() if column in part['types'] -%} {%- do columns.update({column: kind}) -%} {%- endfor -%}
    {%- endfor -%}
    {%- set selects = [] -%}
    {%- for part in parts -%}
        {%- set selected = [] -%}
        {%- for column, kind in columns.items() -%}
            {%- set name = feature_store.quoted(column) -%}
            {%- do selected.append(feature_store._read_exactly(var_name, parts, part, column, kind, required) ~ ' as ' ~ name) -%}
        {%- endfor -%}
        {%- do selects.append('select ' ~ selected | join(', ') ~ ' from ' ~ part['relation']) -%}
    {%- endfor -%}
    {{ return('(' ~ (selects or ['select null']) | join(' union all ') ~ ')') }}
{% endmacro %}

{% macro reads_sample(var_name) %}{{ return((var(var_name, none) or 'sample') == 'sample') }}{% endmacro %}

{#- SQL that reads a column of a part. A relation that is not there yet, and the rows of a unit test, have no types to
    look at; theirs are text. -#}
{% macro _read_exactly(var_name, parts, part, column, kind, required) %}
    {%- set types = part['types'] -%}
    {%- set where = var_name ~ ': ' ~ part['name'] -%}
    {%- set others = [] -%}
    {%- for other in parts if column in other['types'] and other['name'] != part['name'] -%}
        {%- do others.append(other['types'][column] ~ ' in ' ~ other['name']) -%}
    {%- endfor -%}
    {%- if types and column not in types -%}
        {{ exceptions.raise_compiler_error(
            where ~ ': column ' ~ column
            ~ (' is missing, and is ' ~ others[0] ~ '; every file needs it, or none' if others
               else ' is missing; it needs ' ~ required.keys() | join(', ') ~ ' and has ' ~ types.keys() | join(', '))
        ) }}
    {%- endif -%}
    {%- set type = types.get(column, 'VARCHAR') -%}
    {%- set expression = feature_store.read_column(feature_store.quoted(column), type, kind) -%}
    {%- if expression is none -%}
        {{ exceptions.raise_compiler_error(
            where ~ ': column ' ~ column ~ ' is ' ~ type ~ ', which is no ' ~ kind
            ~ (' (it is ' ~ others[0] ~ ')' if others) ~ '; convert it before, or write it as text'
        ) }}
    {%- endif -%}
    {{ return(expression) }}
{% endmacro %}
