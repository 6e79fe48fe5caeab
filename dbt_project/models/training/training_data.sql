-- One row per label, duplicates included: the label with the features that were known at its time.

with

labels as (
    select
        user_id,
        label,
        as_of_ts
    from {{ ref('stg_labels') }}
),

features as (
    select
        user_id,
        day,
        event_count_7d,
        event_count_30d,
        last_event_days_ago,
        event_type_counts,
        available_at,
        max_event_ts
    from {{ ref('features_daily') }}
),

-- One row per run of consecutive built days. Inside a run a missing row means there is nothing to
-- say; beyond its end nobody knows.
built_runs as (
    select
        min(day) as first_day,
        max(day) as last_day
    from (
        select
            day,
            {{ add_days('day', '-cast(row_number() over (order by day) as integer)') }} as run
        from {{ built_days('features_daily') }} as built
    ) as numbered
    group by run
),

seen as (
    select
        labels.user_id,
        labels.label,
        labels.as_of_ts,
        features.day,
        features.event_count_7d,
        features.event_count_30d,
        features.last_event_days_ago,
        features.event_type_counts,
        features.available_at,
        features.max_event_ts
    from labels
    {{ asof_left_join(
        'features', 'features', ['user_id'], 'labels', 'as_of_ts', 'available_at'
    ) }}
),

-- A snapshot is true for one day. A closing row is true for as long as every day since was built:
-- an event would have made a row.
judged as (
    select
        seen.*,
        seen.as_of_ts < {{ add_hours('seen.available_at', 24) }}
        or (
            seen.event_count_30d = 0
            and seen.as_of_ts < {{ add_hours(
                'seen.available_at', "24 * (1 + " ~ days_between('seen.day', 'built_runs.last_day') ~ ")"
            ) }}
        ) as is_true_then
    from seen
    left join built_runs
        on seen.day between built_runs.first_day and built_runs.last_day
),

final as (
    select
        user_id,
        label,
        as_of_ts,
        case when is_true_then then day end as day,
        case when is_true_then then event_count_7d end as event_count_7d,
        case when is_true_then then event_count_30d end as event_count_30d,
        case when is_true_then then last_event_days_ago end as last_event_days_ago,
        case when is_true_then then event_type_counts end as event_type_counts,
        case when is_true_then then available_at end as available_at,
        case when is_true_then then max_event_ts end as max_event_ts
    from judged
)

select
    user_id,
    label,
    as_of_ts,
    day,
    event_count_7d,
    event_count_30d,
    last_event_days_ago,
    event_type_counts,
    available_at,
    max_event_ts
from final
