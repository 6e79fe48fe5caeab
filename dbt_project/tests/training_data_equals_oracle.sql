{{ config(tags=['gate'], meta={'sampled': true}) }}
-- What each label row should know, computed from the events: the snapshot of the last day that was
-- over and available at the label's time, or the closing row of the user's last activity before it.
-- Where the events are no longer kept, there is nothing to compute it from. Of events with
-- an arrival time, a day knows those that arrived before its `available_at`, on a whole hour.
{%- set late = has_column(ref('stg_events'), 'ingested_at') %}

with

ledger as (
    {{ current_ledger(model_id('features_daily')) }}
),

built as (
    select
        max(availability_lag_hours) as lag_hours,
        min(source_first_day) as known_from
    from ledger
),

training as (
    select
        training_data.*,
        {{ add_days(
            'cast(' ~ add_hours('training_data.as_of_ts', '-built.lag_hours') ~ ' as date)', -1
        ) }} as newest_day
    from {{ ref('training_data') }} as training_data
    cross join built
    where {{ in_gate_sample(['training_data.user_id', 'training_data.as_of_ts']) }}
),

-- Only to look at fewer rows; adds nothing to the meaning.
daily as (
    select
        user_id,
        event_type,
        cast(ts as date) as event_day,
        {%- if late %}
        date_trunc('hour', ingested_at) as arrival,
        {%- endif %}
        count(*) as events,
        max(ts) as last_ts
    from {{ ref('stg_events') }}
    where ts >= {{ earliest_event() }}
    group by all
),

kept as (
    select min(event_day) as first_day
    from daily
),

moments as (
    select distinct
        training.user_id,
        training.newest_day,
        {{ add_days('training.newest_day', -7) }} as week_before,
        {{ add_days('training.newest_day', -30) }} as month_before,
        {{ add_hours(add_days('training.newest_day', 1), 'built.lag_hours') }} as available_at
    from training
    cross join built
),

active as (
    select
        moments.user_id,
        moments.newest_day,
        max(daily.event_day) as last_event_day,
        sum(case when daily.event_day > moments.week_before then daily.events else 0 end)
            as event_count_7d,
        sum(daily.events) as event_count_30d,
        count(distinct daily.event_type) as event_types,
        max(daily.last_ts) as max_event_ts
    from moments
    inner join daily
        on
            moments.user_id = daily.user_id
            and moments.newest_day >= daily.event_day
            and moments.month_before < daily.event_day
    {%- if late %}
            and moments.available_at > daily.arrival
    {%- endif %}
    group by moments.user_id, moments.newest_day
),

-- Nothing in the window, so what holds is the closing row of the last event before it, if there is
-- one. An event that arrived after its closing row became available never made one.
quiet as (
    select
        moments.user_id,
        moments.newest_day,
        max(daily.event_day) as last_event_day
    from moments
    cross join built
    left join active
        on
            moments.user_id = active.user_id
            and moments.newest_day = active.newest_day
    left join daily
        on
            moments.user_id = daily.user_id
            and moments.month_before >= daily.event_day
    {%- if late %}
            and daily.arrival < {{ add_hours(add_days('daily.event_day', 31), 'built.lag_hours') }}
    {%- endif %}
    where active.user_id is null
    group by moments.user_id, moments.newest_day
),

counted as (
    select
        user_id,
        newest_day,
        last_event_day,
        newest_day as day,
        event_count_7d,
        event_count_30d,
        event_types,
        {{ days_between('last_event_day', 'newest_day') }} as last_event_days_ago,
        max_event_ts
    from active

    union all

    select
        user_id,
        newest_day,
        last_event_day,
        {{ add_days('last_event_day', 30) }} as day,
        0 as event_count_7d,
        0 as event_count_30d,
        0 as event_types,
        cast(null as integer) as last_event_days_ago,
        cast(null as timestamp) as max_event_ts
    from quiet
),

expected as (
    select
        counted.*,
        {{ add_hours(add_days('counted.day', 1), 'built.lag_hours') }} as available_at
    from counted
    cross join built
    cross join kept
    where not (
        built.known_from < kept.first_day
        and (
            {{ add_days('counted.newest_day', -30) }} < kept.first_day
            or counted.last_event_day is null
            or counted.last_event_day < {{ add_days('counted.newest_day', -30) }}
        )
    )
),

compared as (
    select
        training.*,
        expected.day as expected_day,
        expected.event_count_7d as expected_7d,
        expected.event_count_30d as expected_30d,
        coalesce(
            cast(training.day as varchar),
            cast(training.event_count_7d as varchar),
            cast(training.event_count_30d as varchar),
            cast(training.last_event_days_ago as varchar),
            training.event_type_counts,
            cast(training.available_at as varchar),
            cast(training.max_event_ts as varchar)
        ) is null as is_null
    from training
    inner join expected
        on
            training.user_id = expected.user_id
            and training.newest_day = expected.newest_day
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
                or training.event_type_counts is distinct from cast(expected.event_types as varchar)
                or training.max_event_ts is distinct from expected.max_event_ts
                or training.available_at is distinct from expected.available_at
            )
        )
),

-- No row, or one of an earlier day while it holds, is right where a day between is not built;
-- coverage reports that.
excused as (
    select
        compared.user_id,
        compared.newest_day,
        compared.as_of_ts
    from compared
    left join ledger
        on ledger.day between compared.expected_day and compared.newest_day
    where
        compared.is_null
        or (
            compared.day < compared.expected_day
            and (
                compared.event_count_30d = 0
                or compared.as_of_ts < {{ add_hours(
                    'compared.available_at',
                    feature_group_meta('features_daily').get('fresh_hours', 0)
                ) }}
            )
        )
    group by
        compared.user_id, compared.newest_day, compared.expected_day, compared.as_of_ts
    having
        count(distinct ledger.day)
        < {{ days_between('compared.expected_day', 'compared.newest_day') }} + 1
)

select
    compared.user_id,
    compared.as_of_ts,
    concat(
        'user_id ', compared.user_id, ', label at ', cast(compared.as_of_ts as varchar),
        ': training_data has day ', coalesce(cast(compared.day as varchar), 'null'), ' with ',
        coalesce(cast(compared.event_count_7d as varchar), 'null'), '/',
        coalesce(cast(compared.event_count_30d as varchar), 'null'), ', the events give day ',
        coalesce(cast(compared.expected_day as varchar), 'null'), ' with ',
        cast(compared.expected_7d as varchar), '/', cast(compared.expected_30d as varchar),
        ' (7d/30d)',
        case when older.day is not null then '; the day was built by older SQL' else '' end,
        '; run: ', case
            when older.day is null then {{ dbt_command('build') }}
            else {{ dbt_command('build', first='older.first_day', last='older.last_day') }}
        end
    ) as problem
from compared
left join excused
    on
        compared.user_id = excused.user_id
        and compared.newest_day = excused.newest_day
        and compared.as_of_ts = excused.as_of_ts
left join {{ older_days('features_daily') }} as older
    on compared.day = older.day
where excused.user_id is null
