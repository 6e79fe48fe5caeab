{% macro day_ranges(days, keys) -%}
    select
        {{ keys | join(', ') }},
        day,
        min(day) over (partition by {{ keys | join(', ') }}, run) as first_day,
        max(day) over (partition by {{ keys | join(', ') }}, run) as last_day
    from (
        select
            *,
            {{ feature_store.add_days(
                'day', '-cast(row_number() over (partition by ' ~ keys | join(', ') ~ ' order by day) as integer)'
            ) }} as run
        from {{ days }}
    ) as numbered
{%- endmacro %}
