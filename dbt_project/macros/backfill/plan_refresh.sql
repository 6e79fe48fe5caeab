{#- These days get a new entry in the ledger too, so that the next publish takes them. -#}
{% macro plan_refresh(events) %}
    {%- if is_incremental() %}
    {%- set plan = feature_store.record('build_plan') -%}
    {%- set lag = feature_store.availability_lag_hours() -%}
    {%- set others -%}
        select day, fingerprint, source_first_day, window_days, availability_lag_hours
        from ({{ feature_store.current_ledger(model.unique_id) }}) as built
        where
            availability_lag_hours <> {{ lag }}
            and day not in (select day from {{ plan }} where model = '{{ model.unique_id }}')
    {%- endset -%}
    {%- if execute and feature_store.has_column(events, 'ingested_at') -%} {%- do feature_store._refuse_shorter_lag(others, lag) -%} {%- endif %}
    insert into {{ plan }} (
        model, day, reason, rebuild, available_at, fingerprint, source_first_day, window_days
    )
    select
        '{{ model.unique_id }}' as model,
        day,
        'availability lag changed' as reason,
        false as rebuild,
        {{ feature_store.add_hours(feature_store.add_days('day', 1), lag) }} as available_at,
        fingerprint,
        source_first_day,
        window_days
    from ({{ others }}) as others
    {%- endif %}
{% endmacro %}

{#- Where events have an arrival time, a day that cannot be built again may hold some that arrived after an
    earlier `available_at`. -#}
{% macro _refuse_shorter_lag(others, lag) %}
    {%- set longer = run_query(
        'select max(availability_lag_hours), min(day), max(day), count(*) from (' ~ others
        ~ ') as others where availability_lag_hours > ' ~ lag
    ).rows[0] -%}
    {%- if longer[3] -%}
        {{ exceptions.raise_compiler_error(
            "availability_lag_hours: " ~ lag ~ " is less than the " ~ longer[0] ~ " of " ~ longer[3]
            ~ " frozen days, " ~ longer[1] ~ " to " ~ longer[2]
            ~ ", which may hold events that arrived later and cannot be built again; write availability_lag_hours: "
            ~ longer[0]
        ) }}
    {%- endif -%}
{% endmacro %}
