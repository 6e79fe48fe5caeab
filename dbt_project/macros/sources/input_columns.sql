{#- A time finer than a microsecond is cut, never rounded: rounding could cross midnight. Text that is no
    time or number becomes null, which the input tests report with the row. -#}
{% macro input_columns(input, name, required, optional={}) %}
    {%- set types = feature_store.column_types(input, name) -%}
    {%- set expressions = {} -%}
    {%- set present = dict(required) -%}
    {%- for column, kind in optional.items() if column in types -%}
        {%- do present.update({column: kind}) -%}
    {%- endfor -%}
    {%- for column, kind in present.items() -%}
        {%- if types and column not in types -%}
            {{ exceptions.raise_compiler_error(
                name ~ ": column " ~ column ~ " is missing; it needs " ~ required.keys() | join(', ')
                ~ " and has " ~ types.keys() | join(', ')
            ) }}
        {%- endif -%}
        {%- set type = types.get(column, 'VARCHAR') -%}
        {%- set expression = feature_store.read_column(column, type, kind) -%}
        {%- if expression is none -%}
            {{ exceptions.raise_compiler_error(
                name ~ ": column " ~ column ~ " is " ~ type ~ ", which is no " ~ kind
                ~ "; convert it before, or write it as text"
            ) }}
        {%- endif -%}
        {%- do expressions.update({column: expression}) -%}
    {%- endfor -%}
    {{ return(expressions) }}
{% endmacro %}
