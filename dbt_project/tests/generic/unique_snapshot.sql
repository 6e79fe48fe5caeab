{#- An ASOF join would pick one of two such rows silently. -#}
{% test unique_snapshot(model, entity, available_at='available_at') %}

{%- set keys = feature_store.quoted_list(entity) | join(', ') -%}
{%- set usable_from = feature_store.quoted(available_at) %}

select
    {{ keys }},
    {{ usable_from }},
    concat(
        {% for key in entity %}{{ feature_store.text_literal(key ~ ' ') }}, cast({{ feature_store.quoted(key) }} as varchar), {% endfor %}
        ' has ', cast(count(*) as varchar), ' rows available at ', cast({{ usable_from }} as varchar),
        '; rebuild that day'
    ) as problem
from {{ model }}
group by {{ keys }}, {{ usable_from }}
having count(*) > 1

{% endtest %}
