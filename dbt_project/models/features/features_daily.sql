-- One row per (user_id, day): how active a user was in the days up to and including the day.
--
-- An event counts from its own day until it leaves a window. So each event day makes three changes
-- to a user's counts: it enters both windows, leaves the 7-day one, leaves the 30-day one. Running
-- sums over the changes give the counts, and nothing is multiplied by the length of a window.
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

-- Only to look at fewer rows; adds nothing to the meaning.
type_days as (
    select
        user_id,
        event_type,
        cast(ts as date) as event_day,
        {%- if late %}
        known_day,
        {%- endif %}
        count(*) as events,
        max(ts) as last_ts
    from events
    where
        ts >= (select span.events_from from span)
        and ts < (select span.events_before from span)
    {%- if late %}
        -- Later than its closing row nobody ever learns of it.
        and known_day <= {{ add_days('cast(ts as date)', 30) }}
    {%- endif %}
    group by user_id, event_type, event_day{{ ', known_day' if late }}
),

{%- if late %}

-- A type counts once while any of its events is known and in the window. In the order in which they
-- became known, each event adds the days up to its leaving that no earlier one covers, if any.
type_spans as (
    select
        user_id,
        event_type,
        event_day,
        known_day,
        events,
        last_ts,
        max({{ add_days('event_day', 30) }}) over (
            partition by user_id, event_type order by known_day, event_day
            rows between unbounded preceding and 1 preceding
        ) as covered_before
    from type_days
),

type_adds as (
    select
        user_id,
        event_day,
        known_day,
        events,
        last_ts,
        greatest(known_day, covered_before) as types_day,
        case
            when covered_before is null or covered_before < {{ add_days('event_day', 30) }} then 1
            else 0
        end as types_added
    from type_spans
),

-- One row per (user_id, event_day, known_day).
user_days as (
    select
        user_id,
        event_day,
        known_day,
        sum(events) as events,
        sum(types_added) as types_out,
        max(last_ts) as last_ts
    from type_adds
    group by user_id, event_day, known_day
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
        sum(events) as events,
        sum(case
            when previous_day is null or previous_day < {{ add_days('event_day', -30) }} then 1
            else 0
        end) as types_in,
        sum(case
            when next_day is null or next_day > {{ add_days('event_day', 30) }} then 1
            else 0
        end) as types_out,
        max(last_ts) as last_ts
    from type_spans
    group by user_id, event_day
),

{%- endif %}

changes as (
    select
        user_id,
        {{ 'known_day' if late else 'event_day' }} as day,
        {%- if late %}
        case when known_day < {{ add_days('event_day', 7) }} then events else 0 end as in_7d,
        {%- else %}
        events as in_7d,
        {%- endif %}
        events as in_30d,
        {{ '0' if late else 'types_in' }} as in_types,
        event_day,
        last_ts
    from user_days

    union all

    select
        user_id,
        {{ add_days('event_day', 7) }} as day,
        -events as in_7d,
        0 as in_30d,
        0 as in_types,
        cast(null as date) as event_day,
        cast(null as timestamp) as last_ts
    from user_days
    {%- if late %}
    where known_day < {{ add_days('event_day', 7) }}

    union all

    select
        user_id,
        types_day as day,
        0 as in_7d,
        0 as in_30d,
        types_added as in_types,
        cast(null as date) as event_day,
        cast(null as timestamp) as last_ts
    from type_adds
    where types_added > 0
    {%- endif %}

    union all

    select
        user_id,
        {{ add_days('event_day', 30) }} as day,
        0 as in_7d,
        -events as in_30d,
        -types_out as in_types,
        cast(null as date) as event_day,
        cast(null as timestamp) as last_ts
    from user_days
),

-- One row per (user_id, day) on which something changes.
day_changes as (
    select
        user_id,
        day,
        sum(in_7d) as in_7d,
        sum(in_30d) as in_30d,
        sum(in_types) as in_types,
        max(event_day) as event_day,
        max(last_ts) as last_ts
    from changes
    where day <= (select span.last_day from span)
    group by user_id, day
),

-- Framed by rows on purpose: a sum over every change so far, whatever days they fall on.
states as (
    select
        user_id,
        day as first_day,
        lead(day) over by_user as next_change_day,
        sum(in_7d) over so_far as event_count_7d,
        sum(in_30d) over so_far as event_count_30d,
        sum(in_types) over so_far as event_types_30d,
        max(event_day) over so_far as last_event_day,
        max(last_ts) over so_far as last_event_ts
    from day_changes
    window
        by_user as (partition by user_id order by day),
        so_far as (
            partition by user_id order by day
            rows between unbounded preceding and current row
        )
),

-- A state holds until the next change (if there is one: least() skips nulls), and no longer than
-- the closing row.
state_days as (
    select
        user_id,
        event_count_7d,
        event_count_30d,
        event_types_30d,
        last_event_day,
        last_event_ts,
        {{ each_day(
            'greatest(first_day, (select span.first_day from span))',
            'least('
            ~ add_days('next_change_day', -1) ~ ', '
            ~ add_days('last_event_day', 30) ~ ', (select span.last_day from span))'
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
                then {{ days_between('state_days.last_event_day', 'state_days.day') }}
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
order by day, user_id
