{{ config(tags=['gate']) }}
-- No label row knows an event at or after its time: not by what the snapshot declares
-- (`max_event_ts`, `available_at`), and not by what happened (an event of the user on a day that
-- the snapshot counts).
{%- set late = has_column(ref('stg_events'), 'ingested_at') %}
{%- if late %}
-- Events with an arrival time are future until they arrived. So a row counts no more events than
-- had both happened and arrived by its time.
{%- endif %}

with

training as (
    select distinct
        user_id,
        as_of_ts,
        day,
        event_count_30d,
        available_at,
        max_event_ts
    from {{ ref('training_data') }}
    where day is not null
),

events as (
    select
        user_id,
        {%- if late %}
        greatest(ts, ingested_at) as known_ts,
        {%- endif %}
        ts
    from {{ ref('stg_events') }}
),

leaks as (
    select
        training.user_id,
        training.as_of_ts,
        training.day,
        min(training.event_count_30d) as event_count,
        min(events.ts) as future_ts,
        count(*) as future_events
    from training
    inner join events
        on
            training.user_id = events.user_id
            and training.as_of_ts <= events.ts
            and events.ts < cast({{ add_days('training.day', 1) }} as timestamp)
    group by training.user_id, training.as_of_ts, training.day

    {%- if late %}

    union all

    select
        training.user_id,
        training.as_of_ts,
        training.day,
        min(training.event_count_30d) as event_count,
        min(case when events.known_ts >= training.as_of_ts then events.known_ts end) as future_ts,
        min(training.event_count_30d)
        - count(case when events.known_ts < training.as_of_ts then 1 end) as future_events
    from training
    left join events
        on
            training.user_id = events.user_id
            and events.ts >= cast({{ add_days('training.day', -29) }} as timestamp)
            and events.ts < cast({{ add_days('training.day', 1) }} as timestamp)
    group by training.user_id, training.as_of_ts, training.day
    having
        min(training.event_count_30d)
        > count(case when events.known_ts < training.as_of_ts then 1 end)
    {%- endif %}

    union all

    select
        user_id,
        as_of_ts,
        day,
        event_count_30d as event_count,
        greatest(max_event_ts, available_at) as future_ts,
        cast(null as bigint) as future_events
    from training
    where max_event_ts >= as_of_ts or available_at > as_of_ts
)

select
    user_id,
    as_of_ts,
    concat(
        'user_id ', user_id, ', label at ', cast(as_of_ts as varchar),
        ' sees the snapshot of ', cast(day as varchar),
        ', which knows of ',
        coalesce(cast(min(future_ts) as varchar), 'an event that is not there'),
        case
            when max(future_events) is not null
                then concat(
                    ': event_count_30d is ', cast(min(event_count) as varchar),
                    ' with what came at or after the label, ',
                    cast(min(event_count) - max(future_events) as varchar), ' without'
                )
            else ''
        end,
        '; a snapshot may be used from the end of its day on: is availability_lag_hours true?'
    ) as problem
from leaks
group by user_id, as_of_ts, day
