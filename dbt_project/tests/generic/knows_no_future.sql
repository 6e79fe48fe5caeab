{#- For a model of any shape: the SQL that built the table runs again on inputs that end at an instant. A row
    that could be used at that instant must come out as it is now, or it rests on what came later. -#}
{% test knows_no_future(model, entity, inputs, available_at='available_at', instants=3, days=3) %}

{%- set columns = entity + [available_at] -%}
{%- set cuts = [] -%}
{%- if execute and load_relation(model) is not none -%}
    {%- set columns = graph.nodes[feature_store.model_id(model.identifier)].columns.keys() | list -%}
    {%- do feature_store.announce_older_days(model.identifier) -%}
    {%- set moments = feature_store.cut_instants(model, available_at, inputs, instants) -%}
    {%- for moment in moments -%}
        {%- do cuts.append([feature_store._literal(moment), feature_store.cut_build(model.identifier, inputs, available_at, moment, days)]) -%}
    {%- endfor -%}
{%- endif -%}
{%- set listed = columns | join(', ') %}

with

differing as (
    select {{ listed }}, cast(null as timestamp) as instant from {{ model }} where false
    {%- for instant, cut in cuts %}
    union all
    select {{ listed }}, {{ instant }} as instant from (
        with
        again as (
            select {{ listed }} from ({{ cut.sql }}) as built where {{ available_at }} <= {{ instant }}
        ),
        current_rows as (
            select {{ listed }} from {{ model }}
            where {{ available_at }} <= {{ instant }}{{ ' and day in (' ~ cut.days ~ ')' if cut.days }}
        )
        (select * from again except all select * from current_rows)
        union all
        (select * from current_rows except all select * from again)
    ) as either
    {%- endfor %}
)

select
    {{ entity | join(', ') }},
    instant,
    concat(
        {% for key in entity %}'{{ key }} ', coalesce(cast({{ key }} as varchar), 'null'), ', ', {% endfor -%}
        'usable from ', cast({{ available_at }} as varchar),
        ', comes out otherwise when the inputs end at ', cast(min(instant) as varchar),
        ': it rests on what came later; look for a window that reaches ahead, or an available_at that is too early'
    ) as problem
from differing
group by {{ entity | join(', ') }}, {{ available_at }}, instant

{% endtest %}
