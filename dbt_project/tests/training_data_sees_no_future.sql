{{ config(tags=['gate']) }}
-- No label row knows an event at or after its time: not by what the snapshot declares
-- (`max_event_ts`, `available_at`), and not by what happened (an event of the user on a day that
-- the snapshot counts).

with

training as (
    select distinct
        user_id,
        as_of_ts,
        day,
        available_at,
        max_event_ts
    from {{ ref('training_data') }}
    where day is not null
),

events as (
    select
        user_id,
        ts
    from {{ ref('stg_events') }}
),

leaks as (
    select
        training.user_id,
        training.as_of_ts,
        training.day,
        events.ts as future_ts
    from training
    inner join events
        on
            training.user_id = events.user_id
            and training.as_of_ts <= events.ts
            and events.ts < cast({{ add_days('training.day', 1) }} as timestamp)

    union all

    select
        user_id,
        as_of_ts,
        day,
        max_event_ts as future_ts
    from training
    where max_event_ts >= as_of_ts

    union all

    select
        user_id,
        as_of_ts,
        day,
        available_at as future_ts
    from training
    where available_at > as_of_ts
)

select
    user_id,
    as_of_ts,
    concat(
        'user_id ', user_id, ', label at ', cast(as_of_ts as varchar),
        ' sees the snapshot of ', cast(day as varchar),
        ', which knows of ', cast(min(future_ts) as varchar),
        '; a snapshot may be used from the end of its day on: is availability_lag_hours true?'
    ) as problem
from leaks
group by user_id, as_of_ts, day
