{#- Every row of an input has its key, its kind and its time. Text that could not be read as a time or a
    number is null by now, and is reported here with the rest of its row.

    input: relation to check; the tested model itself when not given. Attached to a group, the test
    guards that group. -#}
{% test well_formed(model, columns, input=none) %}

select
    {{ columns | join(', ') }},
    concat(
        'input row ('
        {%- for column in columns -%}
        , '{{ ", " if not loop.first }}{{ column }}: ', coalesce(cast({{ column }} as varchar), 'missing or unreadable')
        {%- endfor -%}
        , '): correct or drop it in the source'
    ) as problem
from {{ input or model }}
where
    {%- for column in columns %}
    {{ column }} is null or cast({{ column }} as varchar) = ''
    {{- " or" if not loop.last }}
    {%- endfor %}

{% endtest %}
