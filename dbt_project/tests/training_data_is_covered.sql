{{ config(tags=['gate']) }}
-- Every day from the row that a label sees to the label is built, so that a null means "nothing
-- known", never "not computed", and a value is of the newest day. Guards `training_data` alone: a
-- partial backfill does not hold back the features.

with

training as (
    select distinct
        user_id,
        as_of_ts,
        day
    from {{ ref('training_data') }}
),

ledger as (
    {{ current_ledger(model_id('features_daily')) }}
),

first_event as (
    select cast(min(ts) as date) as day
    from {{ ref('stg_events') }}
    where ts >= {{ earliest_event() }}
),

built as (
    select
        max(ledger.availability_lag_hours) as lag_hours,
        least(min(ledger.day), min(first_event.day)) as first_day
    from first_event
    left join ledger on true
),

needed as (
    select
        training.user_id,
        training.as_of_ts,
        coalesce({{ add_days('training.day', 1) }}, built.first_day) as first_day,
        built.lag_hours,
        {{ add_days(
            'cast(' ~ add_hours('training.as_of_ts', '-built.lag_hours') ~ ' as date)', -1
        ) }} as last_day
    from training
    cross join built
),

span as (
    select
        min(first_day) as first_day,
        max(last_day) as last_day
    from needed
),

all_days as (
    select {{ each_day('first_day', 'last_day') }} as day
    from span
),

missing as (
    select
        all_days.day,
        case when all_days.day <= date '{{ last_finished_day() }}' then all_days.day end
            as finished_day
    from all_days
    left join ledger on all_days.day = ledger.day
    where ledger.day is null
)

select
    needed.user_id,
    needed.as_of_ts,
    concat(
        'user_id ', needed.user_id, ', label at ', cast(needed.as_of_ts as varchar), ': ',
        case
            when count(missing.finished_day) > 0
                then concat(
                    'days are missing; run: ',
                    {{ dbt_command(
                        'build', first='min(missing.finished_day)', last='max(missing.finished_day)'
                    ) }}
                )
            else concat(
                'the label is usable from ',
                cast(max({{ add_hours(
                    add_days('missing.day', 1), 'needed.lag_hours'
                ) }}) as varchar),
                ' on, when its last day is over and available; build then'
            )
        end
    ) as problem
from needed
inner join missing
    on missing.day between needed.first_day and needed.last_day
group by needed.user_id, needed.as_of_ts
