{#- The days of a model that were built, empty ones included. A subquery over the build ledger. -#}
{% macro built_days(model_name) %}
    (
        select distinct day
        from {{ source('records', 'build_ledger') }}
        where model = '{{ model_id(model_name) }}' and day is not null
    )
{%- endmacro %}

{#- dbt's id of a model of this project. -#}
{% macro model_id(model_name) %}{{ return('model.' ~ project_name ~ '.' ~ model_name) }}{% endmacro %}
