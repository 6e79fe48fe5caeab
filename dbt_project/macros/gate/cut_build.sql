{#- The recorded SQL, not the model's text as it is now: what is tested is what made the table. -#}
{% macro cut_build(name, inputs, available_at, instant, days) %}
    {%- set unique_id = feature_store.model_id(name) -%}
    {%- set node = graph.nodes[unique_id] -%}
    {%- set relation = node.relation_name -%}
    {%- set sql = namespace(text=feature_store._built_sql(unique_id), given=[]) -%}
    {%- set plan = feature_store.record('build_plan') | string -%}
    {%- set newest = none -%}
    {%- for id in node.depends_on.nodes -%}
        {%- set input = graph.nodes.get(id) or graph.sources[id] -%}
        {%- if input.get('source_name') != 'records' -%}
            {%- if inputs[input.name] -%}
                {%- set cut = '_cut_' ~ input.name -%}
                {%- do sql.given.append(
                    cut ~ ' as (select ' ~ feature_store._columns_as_of(input, instant) ~ ' from ' ~ input.relation_name
                    ~ ' where ' ~ inputs[input.name] ~ ' <= ' ~ feature_store._literal(instant) ~ ')'
                ) -%}
                {%- set sql.text = sql.text | replace(input.relation_name, cut) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if plan in sql.text -%}
        {#- A model built by day is built for the newest days that the table says could be used. Days that other SQL
            built may rightly hold other rows; `gate_objections` says whether they passed the gate of their own. -#}
        {%- set newest -%}
            select day from (
                select day, max({{ available_at }}) as usable_at from {{ relation }}
                where
                    {{ available_at }} <= {{ feature_store._literal(instant) }}
                    and day in ({{ feature_store._days_of_newest_sql(unique_id) }})
                group by day
            ) as usable order by usable_at desc, day desc limit {{ days }}
        {%- endset -%}
        {%- do sql.given.append(
            "_cut_plan as (select distinct '" ~ unique_id ~ "' as model, day, " ~ available_at
            ~ " as available_at, true as rebuild, 0 as chunk from " ~ relation ~ " where day in (" ~ newest ~ "))"
        ) -%}
        {%- set sql.text = sql.text | replace(plan, '_cut_plan') -%}
    {%- endif -%}
    {{ return({
        'sql': ('with ' ~ sql.given | join(', ') ~ ' ' if sql.given else '') ~ 'select * from (' ~ sql.text ~ '\n) as rebuilt',
        'days': newest,
    }) }}
{% endmacro %}

{#- A row of a dbt snapshot is written to once more, when it ends: before that nobody knew its end. -#}
{% macro _columns_as_of(input, instant) %}
    {%- if input.resource_type | string != 'snapshot' -%} {{ return('*') }} {%- endif -%}
    {%- set ends = (input.config.snapshot_meta_column_names or {}).get('dbt_valid_to') or 'dbt_valid_to' -%}
    {%- set open = input.config.dbt_valid_to_current or 'null' -%}
    {%- set columns = [] -%}
    {%- for name in feature_store.column_types(input.relation_name, 'inputs') -%}
        {%- set column = feature_store.quoted(name) -%}
        {%- if name == ends | lower -%}
            {%- do columns.append(
                'case when ' ~ column ~ ' <= ' ~ feature_store._literal(instant) ~ ' then ' ~ column ~ ' else ' ~ open
                ~ ' end as ' ~ column
            ) -%}
        {%- else -%}
            {%- do columns.append(column) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(columns | join(', ')) }}
{% endmacro %}

{% macro _built_sql(unique_id) %}
    {%- set found = run_query("select sql from (" ~ feature_store.newest_sql() ~ ") as newest where model = '" ~ unique_id ~ "'").rows -%}
    {%- if not found -%}
        {{ exceptions.raise_compiler_error(
            'knows_no_future of ' ~ unique_id ~ ': its build is not recorded; give the model '
            ~ 'post_hook: ["{{ ' ~ 'record_build(by_day=true) ' ~ '}}"] and run: dbt build'
        ) }}
    {%- endif -%}
    {{ return(found[0][0]) }}
{% endmacro %}

{#- An input of a model by its name. -#}
{% macro _input(name, input_name) %}
    {%- for id in graph.nodes[feature_store.model_id(name)].depends_on.nodes -%}
        {%- set input = graph.nodes.get(id) or graph.sources[id] -%}
        {%- if input.name == input_name -%} {{ return(input) }} {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error(
        'knows_no_future of ' ~ name ~ ': ' ~ input_name ~ ' is not one of its inputs'
    ) }}
{% endmacro %}
