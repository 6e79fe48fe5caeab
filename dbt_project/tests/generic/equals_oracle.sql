{#- Every feature of every built day, computed again from the events in the plainest way: each day is joined with the events
    of its windows. Reads the declaration that window_features left in the model's meta, and shares no macro with it but the
    calendar's. Frozen days cannot be computed again: their events are no longer kept. -#}
{% test equals_oracle(model, events) %}

{#- So that its verdict is recorded with the share. -#}
{{ config(meta={'sampled': true}) }}
{%- set unique_id = feature_store.model_id(model.identifier) -%}
{%- set node = graph.nodes.get(unique_id) if execute else none -%}
{%- set declaration = node.config.meta.get('window_features') if node else none -%}
{%- if execute and not declaration -%}
    {{ exceptions.raise_compiler_error(
        'equals_oracle: ' ~ model.identifier ~ ' declares no windows; it needs a model of window_features'
    ) }}
{%- endif -%}
{%- if not declaration %} {#- While dbt parses. #}
select 1 as problem where false
{%- else -%}
{%- set entity, time = declaration['entity'], declaration['time'] -%}
{%- set types = {} -%}
{%- for column in node.columns.values() -%} {%- do types.update({column.name: column.data_type | lower}) -%} {%- endfor -%}
{%- set features = feature_store._window_oracle(declaration, types) -%}
{%- set arrival = declaration['ingested_at'] or ('ingested_at' if feature_store.has_column(events, 'ingested_at') else none) -%}
{%- set horizon = declaration['features'].values() | map(attribute='days') | max -%}
{%- set keys, of_features = entity | join(', '), [] -%}
{%- for key in entity -%} {%- do of_features.append('features.' ~ key) -%} {%- endfor %}

with

events as (
    select
        source.*,
        {%- if arrival %}
        date_trunc('hour', source.{{ arrival }}) as arrival_hour,
        {%- endif %}
        {%- for condition in feature_store._oracle_conditions(declaration) %}
        ({{ condition }}) as condition_{{ loop.index }},
        {%- endfor %}
        cast(source.{{ time }} as date) as event_day
    from {{ events }} as source
    where {{ feature_store.in_gate_sample(entity) }}
),

kept as (
    select cast(min({{ time }}) as date) as first_day
    from {{ events }}
),

ledger as (
    {{ feature_store.current_ledger(unique_id) }}
),

days as (
    select
        ledger.day,
        {{ feature_store.add_hours(feature_store.add_days('ledger.day', 1), 'ledger.availability_lag_hours') }} as available_at
    from ledger
    cross join kept
    where not (
        ledger.source_first_day < kept.first_day
        and {{ feature_store.add_days('ledger.day', -horizon) }} < kept.first_day
    )
),

expected as (
    select
        {% for key in entity -%} events.{{ key }},
        {% endfor -%}
        days.day,
        days.available_at
        {%- for feature in features %},
        {{ feature['sql'] }} as {{ feature['name'] }}
        {%- if feature['tolerance'] %},
        {{ feature['tolerance'] }} as {{ feature['name'] }}__tolerance
        {%- endif %}
        {%- endfor %}
    from days
    inner join events
        on
            days.day >= events.event_day
            and {{ feature_store.add_days('days.day', -horizon) }} <= events.event_day
    {%- if arrival %}
            and events.arrival_hour < days.available_at
    {%- endif %}
    group by {% for key in entity -%} events.{{ key }}, {% endfor -%} days.day, days.available_at
),

-- Rows of days that are not in the ledger at all are looked at too: they should not be there.
actual as (
    select features.*
    from {{ model }} as features
    left join ledger on features.day = ledger.day
    left join days on features.day = days.day
    where
        (ledger.day is null or days.day is not null)
        and {{ feature_store.in_gate_sample(of_features) }}
),

compared as (
    select
        {% for key in entity + ['day'] -%} coalesce(actual.{{ key }}, expected.{{ key }}) as {{ key }},
        {% endfor -%}
        case
            when actual.day is null then 'the row is missing'
            when expected.day is null then 'the row should not be there'
        end as row_problem
        {%- for name in ['available_at'] + features | map(attribute='name') | list %},
        actual.{{ name }},
        expected.{{ name }} as {{ name }}__expected
        {%- endfor %}
        {%- for feature in features if feature['tolerance'] %},
        expected.{{ feature['name'] }}__tolerance
        {%- endfor %}
    from actual
    full outer join expected
        on {% for key in entity + ['day'] -%} actual.{{ key }} = expected.{{ key }}{{ ' and ' if not loop.last }} {%- endfor %}
),

differing as (
    select
        {{ keys }},
        day,
        row_problem as problem
    from compared
    where row_problem is not null
    {%- for feature in [{'name': 'available_at', 'tolerance': none}] + features %}

    union all

    select
        {{ keys }},
        day,
        concat(
            '{{ feature['name'] }}: the table has ', coalesce(cast({{ feature['name'] }} as varchar), 'null'),
            ', the events give ', coalesce(cast({{ feature['name'] }}__expected as varchar), 'null')
        ) as problem
    from compared
    where
        row_problem is null
        and {{ feature['name'] }} is distinct from {{ feature['name'] }}__expected
        {%- if feature['tolerance'] %}
        and coalesce(abs({{ feature['name'] }} - {{ feature['name'] }}__expected) > {{ feature['name'] }}__tolerance, true)
        {%- endif %}
    {%- endfor %}
)

select
    {% for key in entity -%} differing.{{ key }},
    {% endfor -%}
    differing.day,
    concat(
        {% for key in entity -%} '{{ key }} ', cast(differing.{{ key }} as varchar), ', ', {% endfor -%}
        'day ', cast(differing.day as varchar), ': ', differing.problem,
        case when older.day is not null then '; the day was built by older SQL' else '' end,
        '; run: ',
        {{ feature_store.dbt_command(
            'build', first='coalesce(older.first_day, differing.day)', last='coalesce(older.last_day, differing.day)'
        ) }}
    ) as problem
from differing
left join {{ feature_store.older_days(model.identifier) }} as older on differing.day = older.day
{%- endif %}

{% endtest %}
