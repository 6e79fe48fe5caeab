{#- What `materializer status` and `publish` know of a day. Where a model has seen no event, such as one that is
    built whole each time, a day without rows is one on which nothing changed: nothing is missing or of older SQL. -#}
{% macro day_status() %}
with

entries as (
    {{ feature_store.current_ledger(removed=true) }}
),

models as (
    select
        model,
        min(source_first_day) as first_event_day,
        case when min(source_first_day) < min(day) then min(source_first_day) else min(day) end as first_day
    from {{ feature_store.record('build_ledger') }}
    where day is not null
    group by model
),

newest_sql as (
    {{ feature_store.newest_sql() }}
),

-- What the newest build of days saw. Days that are only stamped again keep what their own build saw.
newest_plan as (
    select model, source_first_day, window_days
    from (
        select
            model,
            source_first_day,
            window_days,
            row_number() over (partition by model order by "sequence" desc) as recency
        from {{ feature_store.record('build_ledger') }}
        where source_first_day is not null and reason <> 'availability lag changed'
    ) as plans
    where recency = 1
),

days as (
    select model, day from entries
    union
    select model, {{ feature_store.each_day('first_day', feature_store.reader_last_finished_day()) }} as day
    from models
    where first_event_day is not null
),

judged as (
    select
        days.model,
        days.day,
        entries."sequence",
        entries."rows",
        entries.content,
        entries.model_checksum,
        entries.reason,
        entries.availability_lag_hours,
        entries.source_first_day,
        entries.built_at,
        entries.fingerprint,
        coalesce({{ feature_store.is_removal('entries.reason') }}, false) as is_removed,
        entries.day is null
        or (entries.reason = 'not over' and days.day <= {{ feature_store.reader_last_finished_day() }}) as is_missing,
        coalesce({{ feature_store.is_frozen(
            'entries.day', 'entries.source_first_day', 'newest_plan.source_first_day', 'newest_plan.window_days'
        ) }}, false) as is_frozen,
        models.first_event_day is not null
        and entries.model_checksum <> newest_sql.model_checksum as has_older_sql
    from days
    inner join models on days.model = models.model
    left join newest_sql on days.model = newest_sql.model
    left join entries on days.model = entries.model and days.day = entries.day
    left join newest_plan on days.model = newest_plan.model
)

select
    model,
    day,
    "sequence",
    "rows",
    content,
    model_checksum,
    reason,
    availability_lag_hours,
    source_first_day,
    built_at,
    fingerprint,
    is_missing,
    is_removed,
    is_frozen and not is_removed as is_frozen,
    -- To build a frozen day again would take rows away.
    coalesce(has_older_sql and not is_frozen and not is_removed, false) as is_older_sql
from judged
{% endmacro %}
