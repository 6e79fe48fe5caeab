{#- An input that stopped coming looks like users who stopped. -#}
{% test newest_day_has_events(model, events) %}

select
    newest.day,
    concat(
        'the newest built day ', cast(newest.day as varchar), ' has no event; ',
        case
            when newest.day > date '{{ feature_store.last_finished_day() }}'
                then concat(
                    'it is not over, and was built when the clock was ahead; to remove such days, run: ',
                    {{ feature_store.dbt_command('build') }}
                )
            else concat(
                'the latest event is at ',
                coalesce((select cast(max(ts) as varchar) from {{ events }}), 'no time, the input is empty'),
                '; is the input complete?'
            )
        end
    ) as problem
from (select max(day) as day from {{ feature_store.built_days(model.identifier) }} as built) as newest
-- An empty build has no events, as was asked of it.
where {{ 'false' if flags.EMPTY else 'true' }} and not exists (
    select 1
    from {{ events }}
    where
        ts >= cast(newest.day as timestamp)
        and ts < cast({{ feature_store.add_days('newest.day', 1) }} as timestamp)
)

{% endtest %}
