{#- Text that could not be read as a time or a number is null by now, and is reported here with the rest
    of its row. -#}
{% test well_formed(model, columns, input=none, optional=[]) %}

{%- set looked_at = columns | list -%}
{%- for column in optional if feature_store.has_column(input or model, column) -%}
    {%- do looked_at.append(column) -%}
{%- endfor %}

select
    {{ feature_store.quoted_list(looked_at) | join(', ') }},
    concat(
        'input row ('
        {%- for column in looked_at -%}
        , {{ feature_store.text_literal((', ' if not loop.first else '') ~ column ~ ': ') }}, coalesce(cast({{ feature_store.quoted(column) }} as varchar), 'missing or unreadable')
        {%- endfor -%}
        , '): correct or drop it in the source'
    ) as problem
from {{ input or model }}
where
    {%- set types = feature_store.column_types(input or model, 'input') %}
    {%- for column in looked_at %}
    {%- set name = feature_store.quoted(column) %}
    {{ name }} is null or cast({{ name }} as varchar) = ''
    {#- Such a time has no form in Python and in JSON. -#}
    {%- if types.get(column) == 'TIMESTAMP' %}
    or {{ name }} < timestamp '0001-01-01' or {{ name }} >= timestamp '10000-01-01'
    {%- endif %}
    {{- " or" if not loop.last }}
    {%- endfor %}

{% endtest %}
