{{ config(tags=['gate']) }}
-- What each label row should know, computed from the events: the snapshot of the last day that was
-- over and available at the label's time, or the closing row of the user's last activity before it.
-- Where the events are no longer kept, there is nothing to compute it from.

with

training as (
    select distinct
        user_id, as_of_ts, day, event_count_7d, event_count_30d, last_event_days_ago,
        event_type_counts, available_at, max_event_ts
    from {{ ref('training_data') }}
),

events as (
    select user_id, event_type, ts, cast(ts as date) as event_day
    from {{ ref('stg_events') }}
),

ledger as (
    select day, availability_lag_hours, source_first_day
    from ({{ current_ledger(model_id('features_daily')) }}) as entries
),

facts as (
    select
        (select max(availability_lag_hours) from ledger) as lag_hours,
        (select min(source_first_day) from ledger) as known_from,
        (select min(event_day) from events) as kept_from
),

moments as (
    select distinct
        training.user_id,
        training.as_of_ts,
        {{ add_days('cast(' ~ add_hours('training.as_of_ts', '-facts.lag_hours') ~ ' as date)', -1) }}
            as newest_day,
        facts.lag_hours,
        facts.known_from < facts.kept_from as is_retained,
        facts.kept_from
    from training
    cross join facts
),

counted as (
    select
        moments.user_id,
        moments.as_of_ts,
        moments.newest_day,
        moments.lag_hours,
        moments.is_retained,
        moments.kept_from,
        max(events.event_day) as last_event_day,
        count(case when events.event_day > {{ add_days('moments.newest_day', -7) }} then 1 end)
            as event_count_7d,
        count(case when events.event_day > {{ add_days('moments.newest_day', -30) }} then 1 end)
            as event_count_30d,
        cast(count(distinct case
            when events.event_day > {{ add_days('moments.newest_day', -30) }} then events.event_type
        end) as varchar) as event_type_counts,
        max(case when events.event_day > {{ add_days('moments.newest_day', -30) }} then events.ts end)
            as max_event_ts
    from moments
    left join events
        on
            moments.user_id = events.user_id
            and events.event_day <= moments.newest_day
    group by all
),

expected as (
    select
        user_id,
        as_of_ts,
        newest_day,
        lag_hours,
        is_retained and (
            {{ add_days('newest_day', -30) }} < kept_from
            or last_event_day is null
            or last_event_day < {{ add_days('newest_day', -30) }}
        ) as is_unknowable,
        case
            when last_event_day is not null
                then least(newest_day, {{ add_days('last_event_day', 30) }})
        end as day,
        event_count_7d,
        event_count_30d,
        case when event_count_30d > 0 then {{ days_between('last_event_day', 'newest_day') }} end
            as last_event_days_ago,
        event_type_counts,
        max_event_ts
    from counted
),

compared as (
    select
        training.*,
        expected.newest_day,
        expected.day as expected_day,
        expected.event_count_7d as expected_7d,
        expected.event_count_30d as expected_30d,
        case
            when expected.day is null or training.day is null
                then training.day is distinct from expected.day
            else
                training.day <> expected.day
                or training.event_count_7d is distinct from expected.event_count_7d
                or training.event_count_30d is distinct from expected.event_count_30d
                or training.last_event_days_ago is distinct from expected.last_event_days_ago
                or training.event_type_counts is distinct from expected.event_type_counts
                or training.max_event_ts is distinct from expected.max_event_ts
                or training.available_at is distinct from {{ add_hours(
                    add_days('expected.day', 1), 'expected.lag_hours'
                ) }}
        end as is_different
    from training
    inner join expected
        on
            training.user_id = expected.user_id
            and training.as_of_ts = expected.as_of_ts
    where not expected.is_unknowable
)

-- A row without a snapshot is right where a day it needs is not built; coverage reports that.
select
    user_id,
    as_of_ts,
    concat(
        'user_id ', user_id, ', label at ', cast(as_of_ts as varchar), ': training_data has day ',
        coalesce(cast(day as varchar), 'null'), ' with ', coalesce(cast(event_count_7d as varchar), 'null'),
        '/', coalesce(cast(event_count_30d as varchar), 'null'), ', the events say day ',
        coalesce(cast(expected_day as varchar), 'null'), ' with ', cast(expected_7d as varchar), '/',
        cast(expected_30d as varchar), ' (7d/30d); run: dbt build'
    ) as problem
from compared
where
    is_different
    and not (
        day is null
        and (
            select count(*) from ledger where ledger.day between expected_day and newest_day
        ) < {{ days_between('expected_day', 'newest_day') }} + 1
    )
