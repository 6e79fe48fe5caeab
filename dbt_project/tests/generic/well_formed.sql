{#- Text that could not be read as a time or a number is null by now, and is reported here with the rest
    of its row. -#}
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
