{#- These days get a new entry in the ledger too, so that the next publish takes them. -#}
{% macro plan_refresh() %}
    {%- if is_incremental() %}
    insert into {{ source('records', 'build_plan') }} (
        model, day, reason, rebuild, available_at, fingerprint, source_first_day
    )
    select
        '{{ model.unique_id }}' as model,
        day,
        'availability lag changed' as reason,
        false as rebuild,
        {{ add_hours(add_days('day', 1), availability_lag_hours()) }} as available_at,
        fingerprint,
        source_first_day
    from ({{ current_ledger(model.unique_id) }}) as built
    where
        availability_lag_hours <> {{ availability_lag_hours() }}
        and day not in (
            select day from {{ source('records', 'build_plan') }} where model = '{{ model.unique_id }}'
        )
    {%- endif %}
{% endmacro %}
