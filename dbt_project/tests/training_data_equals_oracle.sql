{{ config(tags=['gate']) }}
-- What each label row should know, computed from the events: the snapshot of the last day that was
-- over and available at the label's time, or the closing row of the user's last activity before it.
-- Where the events are no longer kept, there is nothing to compute it from.

with

training as (
    select distinct
        user_id,
        as_of_ts,
        day,
        event_count_7d,
        event_count_30d,
        last_event_days_ago,
        event_type_counts,
        available_at,
        max_event_ts
    from {{ ref('training_data') }}
),

events as (
    select
        user_id,
        event_type,
        ts,
        cast(ts as date) as event_day
    from {{ ref('stg_events') }}
),

ledger as (
    {{ current_ledger(model_id('features_daily')) }}
),

built as (
    select
        max(availability_lag_hours) as lag_hours,
        min(source_first_day) as known_from
    from ledger
),

kept as (
    select min(event_day) as first_day
    from events
),

moments as (
    select distinct
        training.user_id,
        training.as_of_ts,
        {{ add_days(
            'cast(' ~ add_hours('training.as_of_ts', '-built.lag_hours') ~ ' as date)', -1
        ) }} as newest_day
    from training
    cross join built
),

windows as (
    select
        user_id,
        as_of_ts,
        newest_day,
        {{ add_days('newest_day', -7) }} as week_before,
        {{ add_days('newest_day', -30) }} as month_before
    from moments
),

counted as (
    select
        windows.user_id,
        windows.as_of_ts,
        windows.newest_day,
        windows.month_before,
        cast(count(distinct case
            when events.event_day > windows.month_before then events.event_type
        end) as varchar) as event_type_counts,
        max(events.event_day) as last_event_day,
        count(case when events.event_day > windows.week_before then 1 end) as event_count_7d,
        count(case when events.event_day > windows.month_before then 1 end) as event_count_30d,
        max(case when events.event_day > windows.month_before then events.ts end) as max_event_ts
    from windows
    left join events
        on
            windows.user_id = events.user_id
            and windows.newest_day >= events.event_day
    group by windows.user_id, windows.as_of_ts, windows.newest_day, windows.month_before
),

expected as (
    select
        counted.user_id,
        counted.as_of_ts,
        counted.newest_day,
        counted.event_count_7d,
        counted.event_count_30d,
        counted.event_type_counts,
        counted.max_event_ts,
        built.lag_hours,
        case
            when counted.last_event_day is not null
                then least(counted.newest_day, {{ add_days('counted.last_event_day', 30) }})
        end as day,
        case
            when counted.event_count_30d > 0
                then {{ days_between('counted.last_event_day', 'counted.newest_day') }}
        end as last_event_days_ago
    from counted
    cross join built
    cross join kept
    where not (
        built.known_from < kept.first_day
        and (
            counted.month_before < kept.first_day
            or counted.last_event_day is null
            or counted.last_event_day < counted.month_before
        )
    )
),

compared as (
    select
        training.*,
        expected.newest_day,
        expected.day as expected_day,
        expected.event_count_7d as expected_7d,
        expected.event_count_30d as expected_30d
    from training
    inner join expected
        on
            training.user_id = expected.user_id
            and training.as_of_ts = expected.as_of_ts
    where
        training.day is distinct from expected.day
        or (
            training.day is null
            and coalesce(
                cast(training.event_count_7d as varchar),
                cast(training.event_count_30d as varchar),
                cast(training.last_event_days_ago as varchar),
                training.event_type_counts,
                cast(training.available_at as varchar),
                cast(training.max_event_ts as varchar)
            ) is not null
        )
        or (
            training.day is not null
            and (
                training.event_count_7d is distinct from expected.event_count_7d
                or training.event_count_30d is distinct from expected.event_count_30d
                or training.last_event_days_ago is distinct from expected.last_event_days_ago
                or training.event_type_counts is distinct from expected.event_type_counts
                or training.max_event_ts is distinct from expected.max_event_ts
                or training.available_at is distinct from {{ add_hours(
                    add_days('expected.day', 1), 'expected.lag_hours'
                ) }}
            )
        )
),

-- A row without a snapshot, all null, is right where a day it needs is not built; coverage reports
-- that.
excused as (
    select
        compared.user_id,
        compared.as_of_ts
    from compared
    left join ledger
        on ledger.day between compared.expected_day and compared.newest_day
    where
        compared.day is null
        and compared.event_count_7d is null
        and compared.event_count_30d is null
        and compared.last_event_days_ago is null
        and compared.event_type_counts is null
        and compared.available_at is null
        and compared.max_event_ts is null
    group by compared.user_id, compared.as_of_ts, compared.expected_day, compared.newest_day
    having
        count(ledger.day)
        < {{ days_between('compared.expected_day', 'compared.newest_day') }} + 1
)

select
    compared.user_id,
    compared.as_of_ts,
    concat(
        'user_id ', compared.user_id, ', label at ', cast(compared.as_of_ts as varchar),
        ': training_data has day ', coalesce(cast(compared.day as varchar), 'null'), ' with ',
        coalesce(cast(compared.event_count_7d as varchar), 'null'), '/',
        coalesce(cast(compared.event_count_30d as varchar), 'null'), ', the events say day ',
        coalesce(cast(compared.expected_day as varchar), 'null'), ' with ',
        cast(compared.expected_7d as varchar), '/', cast(compared.expected_30d as varchar),
        ' (7d/30d); run: dbt build'
    ) as problem
from compared
left join excused
    on
        compared.user_id = excused.user_id
        and compared.as_of_ts = excused.as_of_ts
where excused.user_id is null
