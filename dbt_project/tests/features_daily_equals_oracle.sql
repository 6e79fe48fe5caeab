{{ config(tags=['gate'], meta={'sampled': true}) }}
-- The features of every built day, computed again from the events in the plainest way: for each
-- day, look at every event of its 31 days. Shares no macro with the model but the calendar's.
-- Frozen days cannot be computed again: their events are no longer kept. Days of older SQL can, and
-- are named as such where they differ: a table does not hold two meanings of one column.
-- Of events with an arrival time, a day knows those that arrived before its `available_at`,
-- which falls on a whole hour.
-- A sampled run looks at every day of some users.
{%- set late = has_column(ref('stg_events'), 'ingested_at') %}

with

events as (
    select
        user_id,
        event_type,
        ts,
        {%- if late %}
        date_trunc('hour', ingested_at) as arrival,
        {%- endif %}
        cast(ts as date) as event_day
    from {{ ref('stg_events') }}
    where {{ in_gate_sample(['user_id']) }}
),

kept as (
    select cast(min(ts) as date) as first_day
    from {{ ref('stg_events') }}
    where ts >= {{ earliest_event() }}
),

ledger as (
    {{ current_ledger(model_id('features_daily')) }}
),

days as (
    select
        ledger.day,
        {{ add_days('ledger.day', -7) }} as week_before,
        {{ add_days('ledger.day', -30) }} as month_before,
        {{ add_hours(add_days('ledger.day', 1), 'ledger.availability_lag_hours') }} as available_at
    from ledger
    cross join kept
    where not (
        ledger.source_first_day < kept.first_day
        and {{ add_days('ledger.day', -30) }} < kept.first_day
    )
),

-- Only to look at fewer rows; adds nothing to the meaning.
daily as (
    select
        user_id,
        event_type,
        event_day,
        {%- if late %}
        arrival,
        {%- endif %}
        count(*) as events,
        max(ts) as last_ts
    from events
    group by user_id, event_type, event_day{{ ', arrival' if late }}
),

-- One row per (user_id, day, event_type) with an event in the day's 31 days.
by_type as (
    select
        daily.user_id,
        daily.event_type,
        days.day,
        days.available_at,
        sum(case when daily.event_day > days.week_before then daily.events else 0 end)
            as events_7d,
        sum(case when daily.event_day > days.month_before then daily.events else 0 end)
            as events_30d,
        max(case when daily.event_day > days.month_before then daily.event_day end)
            as last_event_day,
        max(case when daily.event_day > days.month_before then daily.last_ts end) as last_ts
    from days
    inner join daily
        on
            days.day >= daily.event_day
            and days.month_before <= daily.event_day
    {%- if late %}
            and daily.arrival < days.available_at
    {%- endif %}
    group by daily.user_id, daily.event_type, days.day, days.available_at
),

expected as (
    select
        user_id,
        day,
        available_at,
        sum(events_7d) as event_count_7d,
        sum(events_30d) as event_count_30d,
        {{ days_between('max(last_event_day)', 'day') }} as last_event_days_ago,
        cast(count(case when events_30d > 0 then event_type end) as varchar) as event_type_counts,
        max(last_ts) as max_event_ts
    from by_type
    group by user_id, day, available_at
),

-- Rows of days that are not in the ledger at all are looked at too: they should not be there.
actual as (
    select features.*
    from {{ ref('features_daily') }} as features
    left join ledger on features.day = ledger.day
    left join days on features.day = days.day
    where
        (ledger.day is null or days.day is not null)
        and {{ in_gate_sample(['features.user_id']) }}
)

select
    coalesce(actual.user_id, expected.user_id) as user_id,
    coalesce(actual.day, expected.day) as day,
    concat(
        'user_id ', coalesce(actual.user_id, expected.user_id),
        ', day ', cast(coalesce(actual.day, expected.day) as varchar),
        ': ', case
            when actual.user_id is null then 'the row is missing'
            when expected.user_id is null then 'the row should not be there'
            else concat(
                'the table has ', cast(actual.event_count_7d as varchar), '/',
                cast(actual.event_count_30d as varchar), '/',
                coalesce(cast(actual.last_event_days_ago as varchar), 'null'), '/',
                actual.event_type_counts, ', the events give ',
                cast(expected.event_count_7d as varchar), '/',
                cast(expected.event_count_30d as varchar), '/',
                coalesce(cast(expected.last_event_days_ago as varchar), 'null'), '/',
                expected.event_type_counts,
                ' (7d/30d/days ago/types), or the times differ'
            )
        end,
        case when older.day is not null then '; the day was built by older SQL' else '' end,
        '; run: ',
        {{ dbt_command(
            'build',
            first='coalesce(older.first_day, actual.day, expected.day)',
            last='coalesce(older.last_day, actual.day, expected.day)',
        ) }}
    ) as problem
from actual
full outer join expected
    on
        actual.user_id = expected.user_id
        and actual.day = expected.day
left join {{ older_days('features_daily') }} as older
    on coalesce(actual.day, expected.day) = older.day
where
    actual.user_id is null
    or expected.user_id is null
    or actual.event_count_7d is distinct from expected.event_count_7d
    or actual.event_count_30d is distinct from expected.event_count_30d
    or actual.last_event_days_ago is distinct from expected.last_event_days_ago
    or actual.event_type_counts is distinct from expected.event_type_counts
    or actual.available_at is distinct from expected.available_at
    or actual.max_event_ts is distinct from expected.max_event_ts
