{% macro built_days(model_name) %}{{ return(feature_store._built_days_of(feature_store.model_id(model_name))) }}{% endmacro %}

{% macro _built_days_of(unique_id) %}
    (
        select day
        from {{ feature_store.record('build_ledger') }}
        where model = '{{ unique_id }}' and day is not null
        group by day
        having max("sequence") = max(case when reason <> 'not over' then "sequence" end)
    )
{%- endmacro %}

{% macro model_id(model_name) %}{{ return('model.' ~ project_name ~ '.' ~ model_name) }}{% endmacro %}
