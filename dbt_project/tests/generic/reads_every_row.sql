{#- A row that a reader leaves out, such as those after a line it does not understand, is missed by no other test: they
    read through the same reader. -#}
{% test reads_every_row(model, var_name) %}

{#- An empty build reads none, as was asked of it. -#}
{%- set input = feature_store.input_files(var_name) if execute and not flags.EMPTY else none -%}
{%- set there = feature_store.rows_in_files(input) if input else none %}

select
    rows_read,
    concat(
        '{{ model.identifier }} has ', cast(rows_read as varchar), ' rows and the files of {{ var_name }} have {{ there }}; ',
        'build {{ model.identifier }} again if files were added since, else look for lines that are not of the format'
    ) as problem
from (select count(*) as rows_read from {{ model }}) as counted
where rows_read <> {{ there if there is not none else 'rows_read' }}

{% endtest %}
