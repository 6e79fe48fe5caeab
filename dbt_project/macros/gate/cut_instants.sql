{#- Evenly spaced among the times at which rows become usable, where some input is still to come: else there
    is nothing to find. All of them when they are few: a snapshot has as many as it has had runs. -#}
{% macro cut_instants(unique_id, available_at, told, count) %}
    {%- set name = feature_store._node(unique_id).name -%}
    {%- set ends, found = [], [] -%}
    {%- set state = {'cuts': {}, 'whole': true, 'names': {}, 'parts': []} -%}
    {%- for id, known_at in told.items() if known_at not in [none, 'always'] -%}
        {%- do ends.append('select max(' ~ known_at ~ ') as last from ' ~ feature_store._name_again(id, state)) -%}
    {%- endfor -%}
    {%- if ends -%}
        {%- do found.extend(run_query(
            ('with ' ~ state.parts | join(', ') ~ ' ' if state.parts else '')
            ~ 'select moment from (select moment, row_number() over (order by moment) as n, count(*) over () as total from ('
            ~ 'select distinct ' ~ available_at ~ ' as moment from ' ~ feature_store._node(unique_id).relation_name
            ~ ') as moments where moment < (select max(last) from (' ~ ends | join(' union all ') ~ ') as ends)) as numbered'
            ~ ' where total <= ' ~ count ~ ' or (n * ' ~ (count + 1) ~ ' % total < ' ~ (count + 1) ~ ' and n < total)'
            ~ ' order by moment limit ' ~ count
        ).columns[0].values()) -%}
    {%- endif -%}
    {%- if not found -%}
        {%- do log(name ~ ': knows_no_future finds no input after any row, so it shows nothing', info=true) -%}
    {%- endif -%}
    {{ return(found) }}
{% endmacro %}
