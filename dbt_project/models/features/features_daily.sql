-- One row per (user_id, day): how active a user was in the days up to and including the day.
--
-- An event counts from its own day until it leaves a window. So each event day makes three changes
-- to a user's counts: it enters both windows, leaves the 7-day one, leaves the 30-day one. Running
-- sums over the changes give the counts, and nothing is multiplied by the length of a window. What
-- happened before the first requested day enters on that day.
{#
   When events carry `ingested_at`, one that arrived late counts from the first day whose snapshot
   could know it (`known_day`), and leaves when it would have left. Without that column every event
   is known on its own day, and none of this is in the SQL.
-#}
{%- set late = has_column(ref('stg_events'), 'ingested_at') %}

with

events as (
    select
        user_id,
        event_type,
        cast(ts as date) as event_day,
        {%- if late %}
        {{ known_day('ts', 'ingested_at') }} as known_day,
        {%- endif %}
        ts
    from {{ ref('stg_events') }}
),

days as (
    select
        day,
        available_at
    from {{ planned_days() }} as planned
),

-- The oldest event that matters happened 30 days before the first day: it makes the closing row.
span as (
    select
        min(day) as first_day,
        max(day) as last_day,
        cast({{ add_days('min(day)', -30) }} as timestamp) as events_from,
        cast({{ add_days('max(day)', 1) }} as timestamp) as events_before
    from days
),

-- Days of events that count alike on every requested day are taken as one: those always in the
-- 30-day window and never in the 7-day one, and those always in both. When one day is requested,
-- that is nearly all of them; in a range of weeks there are none.
type_days as (
    select
        events.user_id,
        events.event_type,
        case
            when
                events.event_day <= {{ add_days('requested.first_day', -7) }}
                and events.event_day > {{ add_days('requested.last_day', -30) }}
                then {{ add_days('requested.first_day', -7) }}
            when
                events.event_day <= requested.first_day
                and events.event_day > {{ add_days('requested.last_day', -7) }}
                then requested.first_day
            else events.event_day
        end as event_day,
        {%- if late %}
        greatest(events.known_day, requested.first_day) as from_day,
        {%- endif %}
        count(*) as events,
        max(events.ts) as last_ts
    from events
    cross join span as requested
    where
        -- As subqueries, so that a reader of Parquet skips what is outside.
        events.ts >= (select span.events_from from span)
        and events.ts < (select span.events_before from span)
    {%- if late %}
        -- An event that becomes known after its closing row is in no snapshot.
        and events.known_day <= {{ add_days('events.event_day', 30) }}
    {%- endif %}
    group by all
),

{%- if late %}

-- A type counts once while any of its events is known and in the window. In the order in which they
-- became known, each event adds the days up to its leaving that no earlier one covers, if any.
type_spans as (
    select
        user_id,
        event_type,
        event_day,
        from_day,
        events,
        last_ts,
        max({{ add_days('event_day', 30) }}) over (
            partition by user_id, event_type order by from_day, event_day
            rows between unbounded preceding and 1 preceding
        ) as covered_before
    from type_days
),

type_adds as (
    select
        user_id,
        event_day,
        from_day,
        events,
        last_ts,
        greatest(from_day, covered_before) as types_day,
        case
            when covered_before is null or covered_before < {{ add_days('event_day', 30) }} then 1
            else 0
        end as types_added
    from type_spans
),

-- One row per (user_id, event_day, from_day).
user_days as (
    select
        user_id,
        event_day,
        from_day,
        cast(sum(events) as bigint) as events,
        cast(sum(types_added) as bigint) as types_out,
        max(last_ts) as last_ts
    from type_adds
    group by user_id, event_day, from_day
),

{%- else %}

-- A type counts once while any of its events is in the window: it enters with the first event after
-- a gap and leaves 30 days after the last before a gap. Event days 30 apart leave no gap.
type_spans as (
    select
        user_id,
        event_type,
        event_day,
        events,
        last_ts,
        lag(event_day) over (
            partition by user_id, event_type order by event_day
        ) as previous_day,
        lead(event_day) over (
            partition by user_id, event_type order by event_day
        ) as next_day
    from type_days
),

-- One row per (user_id, event_day).
user_days as (
    select
        user_id,
        event_day,
        greatest(event_day, (select span.first_day from span)) as from_day,
        -- Back to 64 bits: the wider sums would make the window below a quarter slower.
        cast(sum(events) as bigint) as events,
        cast(sum(case
            when previous_day is null or previous_day < {{ add_days('event_day', -30) }} then 1
            else 0
        end) as bigint) as types_in,
        cast(sum(case
            when next_day is null or next_day > {{ add_days('event_day', 30) }} then 1
            else 0
        end) as bigint) as types_out,
        max(last_ts) as last_ts
    from type_spans
    group by user_id, event_day
),

{%- endif %}

changes as (
    -- On the first day, the counts so far: one row per user.
    select
        user_id,
        from_day as day,
        cast(sum(
            case when from_day < {{ add_days('event_day', 7) }} then events else 0 end
        ) as bigint) as in_7d,
        cast(sum(events) as bigint) as in_30d,
        {{ '0' if late else 'cast(sum(types_in) as bigint)' }} as in_types,
        max(last_ts) as last_ts
    from user_days
    where from_day = (select span.first_day from span)
    group by user_id, from_day

    union all

    select
        user_id,
        from_day as day,
        case when from_day < {{ add_days('event_day', 7) }} then events else 0 end as in_7d,
        events as in_30d,
        {{ '0' if late else 'types_in' }} as in_types,
        last_ts
    from user_days
    where from_day > (select span.first_day from span)

    union all

    select
        user_id,
        {{ add_days('event_day', 7) }} as day,
        -events as in_7d,
        0 as in_30d,
        0 as in_types,
        cast(null as timestamp) as last_ts
    from user_days
    where from_day < {{ add_days('event_day', 7) }}
    {%- if late %}

    union all

    select
        user_id,
        types_day as day,
        0 as in_7d,
        0 as in_30d,
        cast(sum(types_added) as bigint) as in_types,
        cast(null as timestamp) as last_ts
    from type_adds
    where types_added > 0
    group by user_id, types_day
    {%- endif %}

    union all

    select
        user_id,
        {{ add_days('event_day', 30) }} as day,
        0 as in_7d,
        -events as in_30d,
        -types_out as in_types,
        cast(null as timestamp) as last_ts
    from user_days
),

-- Changes of one day are peers, which the sums take together; all but one of them end at once.
states as (
    select
        user_id,
        day as first_day,
        lead(day) over so_far as next_change_day,
        sum(in_7d) over so_far as event_count_7d,
        sum(in_30d) over so_far as event_count_30d,
        sum(in_types) over so_far as event_types_30d,
        max(last_ts) over so_far as last_event_ts
    from changes
    where day <= (select span.last_day from span)
    window so_far as (partition by user_id order by day)
),

-- A state holds until the next change (if there is one: least() skips nulls), and no longer than
-- the closing row.
state_days as (
    select
        user_id,
        event_count_7d,
        event_count_30d,
        event_types_30d,
        last_event_ts,
        {{ each_day(
            'first_day',
            'least('
            ~ add_days('next_change_day', -1) ~ ', '
            ~ add_days('cast(last_event_ts as date)', 30) ~ ', (select span.last_day from span))'
        ) }} as day
    from states
),

final as (
    select
        state_days.user_id,
        state_days.day,
        cast(state_days.event_count_7d as bigint) as event_count_7d,
        cast(state_days.event_count_30d as bigint) as event_count_30d,
        cast(case
            when state_days.event_count_30d > 0
                then {{ days_between('cast(state_days.last_event_ts as date)', 'state_days.day') }}
        end as integer) as last_event_days_ago,
        cast(cast(state_days.event_types_30d as bigint) as varchar) as event_type_counts,
        days.available_at,
        case when state_days.event_count_30d > 0 then state_days.last_event_ts end as max_event_ts
    from state_days
    inner join days on state_days.day = days.day
)

select
    user_id,
    day,
    event_count_7d,
    event_count_30d,
    last_event_days_ago,
    event_type_counts,
    available_at,
    max_event_ts
from final
-- A day lies together, so that replacing or publishing one reads little else.
order by day
