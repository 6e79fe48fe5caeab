{#- Additive features (counts, exact sums) are running sums over the days on which events enter and leave a window;
    the latest event is carried along; the rest is aggregated from the days in its window, in a fixed order, so that
    a double comes out the same to the bit however the days are built. -#}
{% macro window_features(events, entity, time, features, ingested_at=none) %}
    {#- Into the manifest, where `equals_oracle` finds it. -#}
    {%- do config(meta={'window_features': {
        'entity': entity, 'time': time, 'features': features, 'ingested_at': ingested_at,
    }}) -%}
    {%- set plan = feature_store._window_measures(
        feature_store._window_declaration(events, entity, time, features, ingested_at)
    ) -%}
    {%- set late = plan['arrival'] -%}
    {%- set keys = entity | join(', ') -%}
    {%- set distinct = plan['distinct'].keys() | list -%}
    {#- Of the columns that running sums are made of: windows of counts, and of distinct values. -#}
    {%- set running = plan['sums'] | map(attribute='name') | list -%}
    {%- for input, windows in plan['distinct'].items() -%}
        {%- for n in windows -%} {%- do running.append('distinct_' ~ input ~ '_' ~ n) -%} {%- endfor -%}
    {%- endfor -%}
    {%- set columns = entity + ['day'] + plan['outputs'] | map(attribute='name') | list + ['available_at'] -%}
    {%- if plan['types'] -%} {%- set columns = plan['types'].keys() | list -%} {%- endif %}
with

days as (
    select
        day,
        available_at
    from {{ feature_store.planned_days() }} as planned
),

-- The oldest event that matters happened {{ plan['horizon'] }} days before the first day: it makes the closing row.
span as (
    select
        min(day) as first_day,
        max(day) as last_day,
        cast({{ feature_store.add_days('min(day)', -plan['horizon']) }} as timestamp) as events_from,
        cast({{ feature_store.add_days('max(day)', 1) }} as timestamp) as events_before
    from days
),

events as (
    select
        {{ entity | join(',\n        ') }},
        {{ time }} as happened_at,
        cast({{ time }} as date) as event_day
        {%- if late %},
        {{ feature_store.known_day(time, late) }} as known_day
        {%- endif %}
        {%- for name, sql in plan['inputs'].items() %},
        {{ sql if sql == name else sql ~ ' as ' ~ name }}
        {%- endfor %}
    from {{ events }}
    where
        -- As subqueries, so that a reader of Parquet skips what is outside.
        {{ time }} >= (select span.events_from from span)
        and {{ time }} < (select span.events_before from span)
),
{% if plan['checks'] %}
{{ feature_store._ambiguous_events(plan) }}
{% endif %}
{{ feature_store._entity_days(plan, distinct) }}

{{ feature_store._window_changes(plan, distinct, running) }}

-- Changes of one day are peers, which the sums take together; all but one of them end at once.
states as (
    select
        {{ keys }},
        day as first_day,
        lead(day) over so_far as next_change_day
        {%- for name in running %},
        sum({{ name }}) over so_far as {{ name }}
        {%- endfor %}
        {%- for name in plan['latest'] %},
        max({{ name }}) over so_far as {{ name }}
        {%- endfor %}
    from changes
    where day <= (select span.last_day from span)
    window so_far as (partition by {{ keys }} order by day)
),
{% if plan['active'] %}
{{ feature_store._in_windows(plan) }}
{% endif %}
-- A state holds until the next change (if there is one: least() skips nulls), and no longer than
-- the closing row.
state_days as (
    select
        {{ keys }}
        {%- if plan['active'] %},
        first_day
        {%- endif %}
        {%- for name in running + plan['latest'].keys() | list %},
        {{ name }}
        {%- endfor %},
        {{ feature_store.each_day(
            'first_day',
            'least('
            ~ feature_store.add_days('next_change_day', -1) ~ ', '
            ~ feature_store.add_days('cast(latest as date)', plan['horizon']) ~ ', (select span.last_day from span))'
        ) }} as day
    from states
),

final as (
    select
        {% for key in entity -%} state_days.{{ key }},
        {% endfor -%}
        state_days.day
        {%- for output in plan['outputs'] %},
        {{ output['sql'] }} as {{ output['name'] }}
        {%- endfor %},
        days.available_at
    from state_days
    inner join days on state_days.day = days.day
    {%- if plan['active'] %}
    left join in_windows
        on
            {{ feature_store._same_entity(entity, 'state_days', 'in_windows') }}
            and state_days.first_day = in_windows.first_day
    {%- endif %}
)

select
    {{ columns | join(',\n    ') }}
from final
-- A day lies together, so that replacing or publishing one reads little else.
order by day
{%- endmacro %}

{#- One row per entity and day with events (and day on which they became known). -#}
{% macro _entity_days(plan, distinct) %}
    {%- set keys, late, ends = plan['entity'] | join(', '), plan['arrival'], plan['ends'] -%}
    {%- set by_value = (plan['entity'] + distinct) | unique | list -%}
-- Days of events that count alike on every requested day are taken as one. When one day is
-- requested, that is nearly all of them; in a range of weeks there are few.
{{ 'value_days' if distinct else 'event_days' }} as (
    select
        {% for key in by_value -%} events.{{ key }},
        {% endfor -%}
        case
        {%- for start in [0] + ends %}
            when
                events.event_day <= {{ feature_store.add_days('requested.first_day', -start) }}
                {%- if not loop.last %}
                and events.event_day > {{ feature_store.add_days('requested.last_day', -ends[loop.index0]) }}
                {%- endif %}
                then {{ feature_store.add_days('requested.first_day', -start) }}
        {%- endfor %}
            else events.event_day
        end as event_day
        {%- if late %},
        greatest(events.known_day, requested.first_day) as from_day
        {%- endif %}
        {%- for name, sql in plan['counts'].items() %},
        {{ sql }} as {{ name }}
        {%- endfor %}
        {%- for name, sql in plan['latest'].items() %},
        max({{ sql }}) as {{ name }}
        {%- endfor %}
    from events
    cross join span as requested
    {%- if plan['checks'] %}
    where (select max(problem) from ambiguous) is null
    {%- endif %}
    group by all
),
{% if distinct %}
{%- if late %}
-- A value counts once while any of its events is known and in the window. In the order in which they
-- became known, each event adds the days up to its leaving that no earlier one covers, if any.
{%- else %}
-- A value counts once while any of its events is in the window: it enters with the first event after
-- a gap and leaves with the last before a gap. Event days as far apart as the window is long leave no gap.
{%- endif %}
value_spans as (
    select
        *
        {%- for input in distinct %},
        {%- if late %}
        max(event_day) over (
            partition by {{ keys }}, {{ input }} order by from_day, event_day
            rows between unbounded preceding and 1 preceding
        ) as covered_{{ input }}
        {%- else %}
        lag(event_day) over (partition by {{ keys }}, {{ input }} order by event_day) as previous_{{ input }},
        lead(event_day) over (partition by {{ keys }}, {{ input }} order by event_day) as next_{{ input }}
        {%- endif %}
        {%- endfor %}
    from value_days
),

event_days as (
    select
        {{ keys }},
        event_day
        {%- if late %},
        from_day
        {%- endif %}
        {#- Back to 64 bits: the wider sums would make the window below a quarter slower. #}
        {%- for name in plan['counts'] %},
        {{ 'sum(' ~ name ~ ')' if name.startswith('sum_of_') else 'cast(sum(' ~ name ~ ') as bigint)' }} as {{ name }}
        {%- endfor %}
        {%- for name in plan['latest'] %},
        max({{ name }}) as {{ name }}
        {%- endfor %}
        {%- for input, windows in plan['distinct'].items() -%}
        {%- for n in windows -%}
        {%- if late %},
        cast(sum(case when {{ feature_store._adds_value(input, n) }} then 1 else 0 end) as bigint) as out_{{ input }}_{{ n }}
        {%- else %},
        cast(sum(case
            when {{ input }} is not null and coalesce(previous_{{ input }} < {{ feature_store.add_days('event_day', -n) }}, true) then 1
            else 0
        end) as bigint) as in_{{ input }}_{{ n }},
        cast(sum(case
            when {{ input }} is not null and coalesce(next_{{ input }} > {{ feature_store.add_days('event_day', n) }}, true) then 1
            else 0
        end) as bigint) as out_{{ input }}_{{ n }}
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
    from value_spans
    group by {{ keys }}, event_day{{ ', from_day' if late }}
),
{% endif %}
{%- endmacro %}

{#- Whether a late event adds days on which its value counts: it is known in time, and no earlier one lasts as long. -#}
{% macro _adds_value(input, n) -%}
    {{ input }} is not null and from_day < {{ feature_store.add_days('event_day', n) }} and coalesce(covered_{{ input }} < event_day, true)
{%- endmacro %}

{#- One row per change of an entity's windows: events enter, and leave each window. -#}
{% macro _window_changes(plan, distinct, running) %}
    {%- set keys, late, ends = plan['entity'] | join(', '), plan['arrival'], plan['ends'] -%}
    {%- set from_day = 'from_day' if late else 'greatest(event_day, (select span.first_day from span))' -%}
-- Events enter all windows at once (0), and leave each after its days.
changes as (
    select
        {{ keys }},
        case when edges.days = 0 then from_day else event_days.event_day + edges.days end as day
        {%- for one in plan['sums'] %},
        case
            when edges.days = 0 and from_day < {{ feature_store.add_days('event_day', one['days']) }} then {{ one['measure'] }}
            when edges.days = {{ one['days'] }} then -{{ one['measure'] }}
            else 0
        end as {{ one['name'] }}
        {%- endfor %}
        {%- for input, windows in plan['distinct'].items() %}
        {%- for n in windows %},
        case
            {%- if not late %}
            when edges.days = 0 and from_day < {{ feature_store.add_days('event_day', n) }} then in_{{ input }}_{{ n }}
            -- A span that began before the first day may have ended before it too.
            when edges.days = 0 then in_{{ input }}_{{ n }} - out_{{ input }}_{{ n }}
            {%- endif %}
            when edges.days = {{ n }} then -out_{{ input }}_{{ n }}
            else 0
        end as distinct_{{ input }}_{{ n }}
        {%- endfor %}
        {%- endfor %}
        {%- for name in plan['latest'] %},
        case when edges.days = 0 then {{ name }} end as {{ name }}
        {%- endfor %}
    from {% if late -%} event_days {%- else -%} (
        select
            *,
            greatest(event_day, (select span.first_day from span)) as from_day
        from event_days
    ) as event_days
    {%- endif %}
    cross join (
        select 0 as days
        {%- for n in ends %}
        union all select {{ n }}
        {%- endfor %}
    ) as edges
    where edges.days = 0 or from_day < {{ feature_store.add_days('event_day', 'edges.days') }}
    {%- if late %}
    {%- for input, windows in plan['distinct'].items() %}
    {%- for n in windows %}

    union all

    select
        {{ keys }},
        greatest(from_day, {{ feature_store.add_days('covered_' ~ input, n) }}) as day
        {%- for name in running %},
        {{ 'cast(count(*) as bigint)' if name == 'distinct_' ~ input ~ '_' ~ n else '0' }} as {{ name }}
        {%- endfor %}
        {%- for name in plan['latest'] %},
        null as {{ name }}
        {%- endfor %}
    from value_spans
    where {{ feature_store._adds_value(input, n) }}
    group by {{ keys }}, greatest(from_day, {{ feature_store.add_days('covered_' ~ input, n) }})
    {%- endfor %}
    {%- endfor %}
    {%- endif %}
),
{%- endmacro %}

{#- Which of two events of one entity at one time is later is decided by nothing but `ties`. -#}
{% macro _ambiguous_events(plan) %}
    {%- set keys = plan['entity'] | join(', ') -%}
-- Two events of one entity at one time with different values: none is the last.
ambiguous as (
    {%- for check in plan['checks'].values() %}
    {%- if not loop.first %}

    union all
    {%- endif %}

    select {{ feature_store.refuse(feature_store._row_named(
        plan, '', plan['time'], 'happened_at',
        'events of one time have different values of ' ~ check['column']
        ~ ('; ' ~ check['ties'] ~ ' does not order them' if check['ties'] else '; name a column that orders them as ties')
    )) }} as problem
    from (
        select {{ keys }}, happened_at
        from events
        group by {{ keys }}, happened_at{{ ', ' ~ check['ties'] if check['ties'] }}
        having min({{ check['input'] }}) <> max({{ check['input'] }})
    ) as tied
    {%- endfor %}
),
{% endmacro %}

{#- What the windows of each state hold, aggregated from the days' tiles. -#}
{% macro _in_windows(plan) %}
    {%- set late, order = plan['arrival'], ['event_day'] + (['known_day'] if plan['arrival'] else []) -%}
    {%- set reach = plan['active'].values() | map(attribute='days') | max -%}
    {%- set windows = plan['active'].values() | map(attribute='days') | unique | sort | list -%}
-- Whatever days are requested, the tiles are the same, and so are their sums in order.
tiles as (
    select
        {{ plan['entity'] | join(', ') }},
        {{ order | join(',\n        ') }}
        {%- for name, sql in plan['tiles'].items() %},
        {{ sql }} as {{ name }}
        {%- endfor %}
    from events
    group by all
),

-- One row per state and tile in its windows.
active as (
    select
        {% for key in plan['entity'] -%} states.{{ key }},
        {% endfor -%}
        states.first_day
        {%- for name in order + plan['tiles'].keys() | list %},
        tiles.{{ name }}
        {%- endfor %}
        {%- for n in windows %},
        tiles.event_day > {{ feature_store.add_days('states.first_day', -n) }} as in_{{ n }}
        {%- endfor %}
    from states
    inner join tiles
        on
            {{ feature_store._same_entity(plan['entity'], 'states', 'tiles') }}
            and tiles.event_day <= states.first_day
            and tiles.event_day > {{ feature_store.add_days('states.first_day', -reach) }}
    {%- if late %}
            and tiles.known_day <= states.first_day
    {%- endif %}
    -- Of the changes of one day, one.
    where coalesce(states.next_change_day > states.first_day, true)
),

in_windows as (
    select
        {{ plan['entity'] | join(', ') }},
        first_day
        {%- for name, one in plan['active'].items() %},
        {{ one['sql'].replace('{}', 'case when in_' ~ one['days'] ~ ' then ' ~ one['measure'] ~ ' end') }} as {{ name }}
        {%- endfor %}
    from active
    group by all
),
{% endmacro %}

{% macro _same_entity(entity, left, right) %}
    {%- set parts = [] -%}
    {%- for key in entity -%} {%- do parts.append(left ~ '.' ~ key ~ ' = ' ~ right ~ '.' ~ key) -%} {%- endfor -%}
    {{ return(parts | join(' and ')) }}
{% endmacro %}
