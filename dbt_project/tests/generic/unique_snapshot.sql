{#- An ASOF join would pick one of two such rows silently. -#}
{% test unique_snapshot(model, entity, available_at='available_at') %}

select
    {{ entity | join(', ') }},
    {{ available_at }},
    concat(
        {% for key in entity %}'{{ key }} ', cast({{ key }} as varchar), {% endfor %}
        ' has ', cast(count(*) as varchar), ' rows available at ', cast({{ available_at }} as varchar),
        '; rebuild that day'
    ) as problem
from {{ model }}
group by {{ entity | join(', ') }}, {{ available_at }}
having count(*) > 1

{% endtest %}
