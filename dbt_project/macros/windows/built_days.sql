{% macro built_days(model_name) %}
    (
        select distinct day
        from {{ source('records', 'build_ledger') }}
        where model = '{{ feature_store.model_id(model_name) }}' and day is not null
    )
{%- endmacro %}

{% macro model_id(model_name) %}{{ return('model.' ~ project_name ~ '.' ~ model_name) }}{% endmacro %}
