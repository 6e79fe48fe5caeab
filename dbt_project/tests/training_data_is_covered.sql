{{ config(tags=['gate']) }}
-- Every day that a label needs is built, so that a null means "nothing known", never "not computed".
-- Guards `training_data` alone: a partial backfill does not hold back the features.

with

training as (
    select distinct user_id, as_of_ts
    from {{ ref('training_data') }}
    where day is null
),

ledger as (
    select day, availability_lag_hours
    from ({{ current_ledger(model_id('features_daily')) }}) as entries
),

facts as (
    select
        (select max(availability_lag_hours) from ledger) as lag_hours,
        least(
            (select min(day) from ledger),
            (select cast(min(ts) as date) from {{ ref('stg_events') }})
        ) as first_day
),

needed as (
    select
        training.user_id,
        training.as_of_ts,
        facts.first_day,
        facts.lag_hours,
        {{ add_days('cast(' ~ add_hours('training.as_of_ts', '-facts.lag_hours') ~ ' as date)', -1) }}
            as last_day
    from training
    cross join facts
),

all_days as (
    select {{ each_day('first_day', 'last_day') }} as day
    from (select min(first_day) as first_day, max(last_day) as last_day from needed) as span
),

missing as (
    select day, day > date '{{ last_finished_day() }}' as is_future
    from all_days
    where day not in (select day from ledger)
)

select
    needed.user_id,
    needed.as_of_ts,
    concat(
        'user_id ', needed.user_id, ', label at ', cast(needed.as_of_ts as varchar), ': ',
        case
            when count(case when not missing.is_future then 1 end) > 0
                then concat(
                    'days are missing; run: dbt build --vars ''{start_date: ',
                    cast(min(case when not missing.is_future then missing.day end) as varchar),
                    ', end_date: ',
                    cast(max(case when not missing.is_future then missing.day end) as varchar), '}'''
                )
            else concat(
                'the label is usable from ',
                cast(max({{ add_hours(add_days('missing.day', 1), 'needed.lag_hours') }}) as varchar),
                ' on, when its last day is over and available; build then'
            )
        end
    ) as problem
from needed
inner join missing
    on missing.day between needed.first_day and needed.last_day
group by needed.user_id, needed.as_of_ts
