{#- A row that was edited by hand is not what was tested when it was built; days whose events are no longer
    kept cannot be tested in any other way. -#}
{% test is_as_built(model, partition='day') %}

select
    coalesce(built.day, current_rows.day) as day,
    concat(
        'day ', cast(coalesce(built.day, current_rows.day) as varchar), ' has ',
        coalesce(cast(current_rows."rows" as varchar), '0'), ' rows that are not the ',
        coalesce(cast(built."rows" as varchar), '0'),
        ' rows the build left: they were changed behind dbt''s back; run: ',
        {{ feature_store.dbt_command(
            'build', first='coalesce(built.day, current_rows.day)', last='coalesce(built.day, current_rows.day)'
        ) }}
    ) as problem
from ({{ feature_store.current_ledger(feature_store.model_id(model.identifier)) }}) as built
full outer join (
    select {{ feature_store.quoted(partition) }} as day, count(*) as "rows", {{ feature_store.content_of_rows(model.identifier) }} as content
    from {{ model }}
    group by 1
) as current_rows on built.day = current_rows.day
where coalesce(current_rows.content, '0:0') is distinct from built.content

{% endtest %}
