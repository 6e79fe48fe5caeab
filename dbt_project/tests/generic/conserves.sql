{% test conserves(model, columns, of) %}

select
    {{ columns | join(', ') }},
    concat(
        'row ('
        {%- for column in columns -%}
        , '{{ ", " if not loop.first }}{{ column }}: ', coalesce(cast({{ column }} as varchar), 'null')
        {%- endfor -%}
        , ') is ', cast(sum(here) as varchar), ' times in {{ model.identifier }} and ',
        cast(sum(there) as varchar), ' times in {{ of.identifier }}'
    ) as problem
from (
    select {{ columns | join(', ') }}, 1 as here, 0 as there from {{ model }}
    union all
    select {{ columns | join(', ') }}, 0 as here, 1 as there from {{ of }}
) as both_sides
group by {{ columns | join(', ') }}
having sum(here) <> sum(there)

{% endtest %}
