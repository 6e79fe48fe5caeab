{#- Evenly spaced among the times at which rows become usable, where some input is still to come: else there
    is nothing to find. All of them when they are few: a snapshot has as many as it has had runs. -#}
{% macro cut_instants(model, available_at, inputs, count) %}
    {%- for id in graph.nodes[feature_store.model_id(model.identifier)].depends_on.nodes -%}
        {%- set input = graph.nodes.get(id) or graph.sources[id] -%}
        {%- if input.name not in inputs and input.get('source_name') != 'records' -%}
            {{ exceptions.raise_compiler_error(
                'knows_no_future of ' ~ model.identifier ~ ': inputs lacks ' ~ input.name
                ~ '; write the SQL of the time from which its rows are known, or null when they always were'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set ends = [] -%}
    {%- for input, known_at in inputs.items() if known_at -%}
        {%- do ends.append('select max(' ~ known_at ~ ') as last from ' ~ feature_store._input(model.identifier, input).relation_name) -%}
    {%- endfor -%}
    {%- set found = run_query(
        'select moment from (select moment, row_number() over (order by moment) as n, count(*) over () as total from ('
        ~ 'select distinct ' ~ available_at ~ ' as moment from ' ~ model ~ ') as moments where moment < ('
        ~ 'select max(last) from (' ~ ends | join(' union all ') ~ ') as ends)) as numbered'
        ~ ' where total <= ' ~ count ~ ' or (n * ' ~ (count + 1) ~ ' % total < ' ~ (count + 1) ~ ' and n < total)'
        ~ ' order by moment limit ' ~ count
    ).columns[0].values() | list -%}
    {%- if not found -%}
        {%- do log(model.identifier ~ ': knows_no_future finds no input after any row, so it shows nothing', info=true) -%}
    {%- endif -%}
    {{ return(found) }}
{% endmacro %}
