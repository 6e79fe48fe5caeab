{#- For a model of any shape: the SQL that built the table runs again on inputs that end at an instant. A row
    that could be used at that instant must come out as it is now, or it rests on what came later. -#}
{% test knows_no_future(model, entity, inputs, available_at='available_at', instants=3, days=3) %}

{%- set entity, available_at = feature_store.quoted_list(entity), feature_store.quoted(available_at) -%}
{%- set columns = entity + [available_at] -%}
{%- set cuts, whole = [], none -%}
{%- if execute and load_relation(model) is not none -%}
    {%- set unique_id = feature_store.model_id(model.identifier) -%}
    {%- set columns = feature_store.quoted_list(graph.nodes[unique_id].columns) -%}
    {%- do feature_store.announce_older_days(model.identifier) -%}
    {%- set told = feature_store.cut_ends(unique_id, inputs) -%}
    {%- set built_days = [] -%}
    {%- for moment in feature_store.cut_instants(unique_id, available_at, told, instants) -%}
        {%- set newest = feature_store.cut_days(unique_id, available_at, moment, days) -%}
        {%- set usable = available_at ~ ' <= ' ~ feature_store._literal(moment) ~ (' and day in (' ~ newest.sql ~ ')' if newest else '') -%}
        {%- do cuts.append({
            'instant': feature_store._literal(moment), 'usable': usable,
            'sql': feature_store.cut_build(unique_id, told, moment, newest),
        }) -%}
        {%- if newest -%} {%- do built_days.append('select day from (' ~ newest.sql ~ ') as days') -%} {%- endif -%}
    {%- endfor -%}
    {%- if cuts -%}
        {%- set whole = feature_store.cut_build(
            unique_id, told, days={'sql': built_days | join(' union '), 'available_at': available_at} if built_days else none
        ) -%}
    {%- endif -%}
{%- endif -%}
{%- set listed = columns | join(', ') %}

with

differing as (
    select {{ listed }}, cast(null as timestamp) as instant from {{ model }} where false
    {%- for cut in cuts %}
    union all
    select {{ listed }}, {{ cut.instant }} as instant from (
        with
        again as (
            select {{ listed }} from ({{ cut.sql }}) as built where {{ available_at }} <= {{ cut.instant }}
        ),
        current_rows as (
            select {{ listed }} from {{ model }} where {{ cut.usable }}
        )
        (select * from again except all select * from current_rows)
        union all
        (select * from current_rows except all select * from again)
    ) as either
    {%- endfor %}
),

-- Rows that do not come out as they are from the whole inputs either.
outdated as (
    select {{ listed }} from {{ model }} where false
    {%- if cuts %}
    union all
    select {{ listed }} from (
        with
        again as (
            select {{ listed }} from ({{ whole }}) as built
        ),
        current_rows as (
            select {{ listed }} from {{ model }} where {% for cut in cuts %}{{ 'or ' if not loop.first }}({{ cut.usable }}){% endfor %}
        )
        (select * from again except all select {{ listed }} from {{ model }})
        union all
        (select * from current_rows except all select * from again)
    ) as either
    {%- endif %}
),

found as (
    select
        {{ entity | join(', ') }},
        {{ available_at }} as usable_from,
        instant,
        case when exists (
            select 1 from outdated
            where
                {%- for key in entity %}
                outdated.{{ key }} is not distinct from differing.{{ key }} and
                {%- endfor %}
                outdated.{{ available_at }} is not distinct from differing.{{ available_at }}
        ) then 1 else 0 end as is_outdated
    from differing
)

select
    {{ entity | join(', ') }},
    instant,
    concat(
        {% for key in entity %}{{ feature_store.text_literal(key[1:-1] ~ ' ') }}, coalesce(cast({{ key }} as varchar), 'null'), ', ', {% endfor -%}
        'usable from ', cast(usable_from as varchar),
        case
            when max(is_outdated) = 1 then concat(
                ', is not what its SQL makes of the inputs as they are now: an increment left it as it was, or an input '
                'was changed since; run: ',
                {{ feature_store.dbt_command('build', '--full-refresh', select="'" ~ model.identifier ~ "'") }}
            )
            else concat(
                ', comes out otherwise when the inputs end at ', cast(min(instant) as varchar),
                ': it rests on what came later; look for a window that reaches ahead, or an available_at that is too early'
            )
        end
    ) as problem
from found
group by {{ entity | join(', ') }}, usable_from, instant

{% endtest %}
