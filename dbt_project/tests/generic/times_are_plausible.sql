{#- A row far from all others is an error of the source, and every day between would be built. -#}
{% test times_are_plausible(model, time) %}

with

days as (
    select
        cast({{ time }} as date) as day,
        count(*) as "rows"
    from {{ model }}
    where {{ time }} >= timestamp '0001-01-01' and {{ time }} < timestamp '9999-12-31'
    group by 1
),

-- Before a gap of more than a year lies less than a hundredth of the rows.
apart as (
    select max(day) as last_day
    from (
        select
            day,
            lead(day) over (order by day) as next_day,
            sum("rows") over (order by day) as rows_so_far,
            sum("rows") over () as all_rows
        from days
    ) as ordered
    where {{ feature_store.days_between('day', 'next_day') }} > 366 and 100 * rows_so_far < all_rows
)

select
    {{ time }},
    count(*) as "rows",
    concat(
        cast(count(*) as varchar), ' rows of {{ model.identifier }} at {{ time }} ', cast({{ time }} as varchar),
        ', far from all others; correct or drop them in the source, or say that they are meant: earliest_event: ',
        cast(cast({{ time }} as date) as varchar)
    ) as problem
from {{ model }}
where
    {{ time }} < {{ feature_store.earliest_event() }}
    or {{ time }} > {{ feature_store._literal(feature_store.store_now() + modules.datetime.timedelta(days=366)) }}
    {%- if not var('earliest_event', none) %}
    or cast({{ time }} as date) <= (select last_day from apart)
    {%- endif %}
group by {{ time }}

{% endtest %}
