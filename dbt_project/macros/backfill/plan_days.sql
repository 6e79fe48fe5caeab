{#- A pre-hook inside the model's own transaction, so that plan, data and ledger change together or not at
    all. -#}
{% macro plan_days(events, window_days, files=none) %}
    {#- dbt looks for a strategy among the macros of the project that is run, not of its packages. -#}
    {%- do context.update(get_incremental_replace_days_sql=feature_store.get_incremental_replace_days_sql) -%}
    {%- set reach = window_days - 1 -%}
    {%- set range = feature_store.requested_range() -%}
    {%- set whole = not is_incremental() -%}
    {%- set last_day = "date '" ~ (range[1] if range else feature_store.last_finished_day()) ~ "'" -%}
    {%- set lag = feature_store.availability_lag_hours() -%}
    {%- set columns = feature_store.column_types(events, 'events') -%}
    {%- set late = 'ingested_at' in columns -%}
    {%- set plan = feature_store.record('build_plan') -%}
    {%- set mine = ' from ' ~ plan ~ " where rebuild and model = '" ~ model.unique_id ~ "'" -%}
    {%- set noted = feature_store.note_files(files, columns.keys() | list) -%}
    {%- set candidate_days %}
    first_event as (
        select {{ feature_store._first_day(events, noted) }} as day
    ),

    built as (
        select day, fingerprint, source_first_day, window_days, availability_lag_hours
        from ({{ feature_store.current_ledger(model.unique_id) }})
    ),

    candidates as (
    {%- if range %}
        select {{ feature_store.each_day("date '" ~ range[0] ~ "'", "date '" ~ range[1] ~ "'") }} as day
        {%- if late %}
        union
        select day from built where availability_lag_hours <> {{ lag }}
        {%- endif %}
    {%- else %}
        select {{ feature_store.each_day('first_event.day', last_day) }} as day from first_event
        union
        select day from built {{ '' if whole else 'where day > ' ~ last_day ~ ' or day < ' ~ feature_store.earliest_event() }}
    {%- endif %}
    ),

    compared as (
        select
            candidates.day,
            built.day is not null as is_built,
            built.fingerprint as built_fingerprint,
            built.availability_lag_hours <> {{ lag }} as has_other_lag,
            coalesce(built.window_days <> {{ window_days }}, false) as has_other_window,
            {{ feature_store.is_frozen('candidates.day', 'built.source_first_day', 'first_event.day', window_days) }} as is_frozen,
            first_event.day as source_first_day
        from candidates
        cross join first_event
        left join built on candidates.day = built.day
    {%- if not range and not whole %}
        where
            built.day is null
            or candidates.day < {{ feature_store.earliest_event() }}
            or candidates.day > {{ feature_store.add_days(last_day, -feature_store.healing_horizon_days()) }}
        {%- if late %}
            or built.availability_lag_hours <> {{ lag }}
        {%- endif %}
    {%- endif %}
    )
    {%- endset -%}
    {%- if noted %}
    {{ feature_store.narrow_files(
        noted,
        'with ' ~ candidate_days ~ ' select ' ~ feature_store.add_days('min(day)', -reach) ~ ' from compared',
        'with ' ~ candidate_days ~ ' select ' ~ feature_store.add_days('max(day)', 1) ~ ' from compared'
    ) }};
    {%- endif %}
    insert into {{ plan }} (
        model, day, reason, rebuild, available_at, fingerprint, source_first_day, window_days, chunk
    )
    with
    {{ candidate_days }},

    days_of_events as (
        select
            cast(ts as date) as day,
        {%- if late %}
            {{ feature_store.known_day('ts', 'ingested_at') }} as known_day,
        {%- endif %}
            count(*) as events,
            sum({{ feature_store.fingerprint_of_event(columns) }}) as hashes
        from {{ events }}
        where
            ts >= (select cast({{ feature_store.add_days('min(day)', -reach) }} as timestamp) from compared)
            and ts < (select cast({{ feature_store.add_days('max(day)', 1) }} as timestamp) from compared)
        group by all
    ),

    fingerprinted as (
        select
            compared.day,
            compared.is_built,
            compared.built_fingerprint,
            compared.is_frozen,
            compared.has_other_lag,
            compared.has_other_window,
            compared.source_first_day,
            concat(
                cast(coalesce(sum(days_of_events.events), 0) as varchar),
                ':',
                cast(coalesce(sum(days_of_events.hashes), 0) as varchar)
            ) as fingerprint
        from compared
        left join days_of_events
            on
                days_of_events.day <= compared.day
                and days_of_events.day >= {{ feature_store.add_days('compared.day', -reach) }}
            {%- if late %}
                and days_of_events.known_day <= compared.day
            {%- endif %}
        group by all
    ),

    chosen as (
        select
            day,
            fingerprint,
            source_first_day,
            case
    {%- if range %}
                when day between date '{{ range[0] }}' and date '{{ range[1] }}' then 'requested'
    {%- else %}
                when day < {{ feature_store.earliest_event() }} and source_first_day is not null then 'too early'
                -- Built when the clock was ahead, from events that were not complete.
                when
                    day > {{ last_day }} and source_first_day is not null and not coalesce(is_frozen, false)
                    then 'not over'
    {%- if whole %}
                when true then 'whole build'
    {%- else %}
                when day > {{ last_day }} then cast(null as varchar)
    {%- endif %}
    {%- endif %}
                when not is_built then 'missing'
    {%- if late %}
                -- Another lag is another moment of knowing, and so other features.
                when has_other_lag and not is_frozen then 'availability lag changed'
    {%- endif %}
                -- Fingerprints of two windows cannot be compared.
                when has_other_window and not is_frozen then 'window changed'
                when fingerprint <> built_fingerprint and not is_frozen then 'events changed'
            end as reason
        from fingerprinted
    ),

    -- Days of one chunk lie within so many days of the calendar; what one turn of a build needs does
    -- not grow with the range.
    placed as (
        select
            *,
            floor({{ feature_store.days_between('min(day) over ()', 'day') }} / {{ feature_store.backfill_chunk_days() }}) as place
        from chosen
        where reason is not null
    )

    select
        '{{ model.unique_id }}' as model,
        day,
        reason,
        not {{ feature_store.is_removal('reason') }} as rebuild,
        {{ feature_store.add_hours(feature_store.add_days('day', 1), lag) }} as available_at,
        fingerprint,
        source_first_day,
        {{ window_days }} as window_days,
        dense_rank() over (order by place) - 1 as chunk
    from placed
    {%- if noted %};
    {{ feature_store.narrow_files(
        noted,
        'select ' ~ feature_store.add_days('min(day)', -reach) ~ mine,
        'select ' ~ feature_store.add_days('max(day)', 1) ~ mine
    ) }}
    {%- endif %}
{% endmacro %}

{#- A query of its own, for it opens other files than the days do. -#}
{% macro _first_day(events, noted) %}
    {%- if not execute -%} {{ return('cast(null as date)') }} {%- endif -%}
    {%- set earliest = 'cast(' ~ feature_store.earliest_event() ~ ' as timestamp)' -%}
    {%- if noted -%}
        {%- do run_query(feature_store.narrow_files(
            noted,
            earliest,
            'select case when min(first_ts) < ' ~ earliest ~ " then timestamp 'infinity' else min(first_ts) end from "
            ~ feature_store.record('input_files') ~ " where model = '" ~ model.unique_id ~ "' and last_ts >= " ~ earliest
        )) -%}
    {%- endif -%}
    {%- set found = run_query(
        'select cast(min(ts) as date) from ' ~ events ~ ' where ts >= ' ~ earliest ~ " and ts < timestamp '9999-12-31'"
    ).rows[0][0] -%}
    {{ return("date '" ~ found ~ "'" if found else 'cast(null as date)') }}
{% endmacro %}
