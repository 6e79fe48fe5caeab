{% test conserves(model, columns, of) %}

{%- set listed = feature_store.quoted_list(columns) | join(', ') %}

select
    {{ listed }},
    concat(
        'row ('
        {%- for column in columns -%}
        , {{ feature_store.text_literal((', ' if not loop.first else '') ~ column ~ ': ') }}, coalesce(cast({{ feature_store.quoted(column) }} as varchar), 'null')
        {%- endfor -%}
        , ') is ', cast(sum(here) as varchar), ' times in {{ model.identifier }} and ',
        cast(sum(there) as varchar), ' times in {{ of.identifier }}'
    ) as problem
from (
    select {{ listed }}, 1 as here, 0 as there from {{ model }}
    union all
    select {{ listed }}, 0 as here, 1 as there from {{ of }}
) as both_sides
group by {{ listed }}
having sum(here) <> sum(there)

{% endtest %}
