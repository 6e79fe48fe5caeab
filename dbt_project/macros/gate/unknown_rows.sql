{#- A time in a row that is later than its `available_at` was filled in later: the row that could be used then did not
    have it. And a row that is usable later than the clock of its build counts what is not over. -#}
{% macro unknown_rows(relation) %}
    {%- set node = graph.nodes.get(model.attached_node) if execute else none -%}
    {%- if not node -%} {{ return('select cast(null as varchar) as problem from ' ~ relation ~ ' where false') }} {%- endif -%}
    {%- set group = node.config.meta.get('feature_group') -%}
    {%- if group is not mapping -%}
        {{ exceptions.raise_compiler_error('rows_are_known: model ' ~ node.name ~ ' is no feature group; remove the test') }}
    {%- endif -%}
    {%- set available_at = feature_store.quoted(group.get('available_at') or 'available_at') -%}
    {%- set day = feature_store.quoted(group.get('partition') or 'day') -%}
    {%- set problems = [] -%}
    {%- for key in group.entity -%}
        {%- set column = feature_store.quoted(key) -%}
        {%- do problems.append([
            column ~ ' is null or cast(' ~ column ~ " as varchar) = ''",
            "'" ~ key ~ " is null or empty, so no lookup finds the row; leave it out'",
        ]) -%}
    {%- endfor -%}
    {%- for column, lack in {
        day: 'no partition to be published in', available_at: 'no time from which it may be used',
    }.items() -%}
        {%- do problems.append([column ~ ' is null', "'" ~ column | replace('"', '') ~ ' is null: the row has ' ~ lack ~ "'"]) -%}
    {%- endfor -%}
    {#- The declared lag is the wait after the period that a row is about; a negative one is for seeing the gate fail. -#}
    {%- set over_at = feature_store.add_hours(available_at, '(-coalesce(_lag, 0))') -%}
    {%- do problems.append([
        'least(' ~ available_at ~ ', ' ~ over_at ~ ') > _clock',
        "concat('it was built at ', cast(_clock as varchar), ', when what it counts was not over; leave the row out until "
        ~ "it is, or declare availability_lag_hours if it may be used that much later')",
    ]) -%}
    {%- for column in node.columns.values() if not feature_store._may_be_future(column) -%}
        {%- set type = column.data_type | lower | replace(' ', '') -%}
        {%- set name = feature_store.quoted(column.name) -%}
        {%- set time = name if type in ['timestamp', 'date'] else
            feature_store.latest_in(name) if type in ['timestamp[]', 'date[]'] else none -%}
        {%- if time and name != available_at -%}
            {%- do problems.append([
                'cast(' ~ time ~ ' as timestamp) > greatest(' ~ available_at ~ ', ' ~ over_at ~ ')',
                "concat('" ~ column.name ~ " has ', cast(" ~ time ~ " as varchar), ', which was not known yet; make "
                ~ 'available_at later, or the value null until then; a time that is known before it comes, such as a '
                ~ "due date, has the meta may_be_future: true')",
            ]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set columns, found, any = [], [], [] -%}
    {%- for column in node.columns -%} {%- do columns.append('checked.' ~ feature_store.quoted(column)) -%} {%- endfor -%}
    {%- for condition, text in problems -%}
        {%- do found.append('case when ' ~ condition ~ ' then ' ~ text ~ ' end') -%}
        {%- do any.append('(' ~ condition ~ ')') -%}
    {%- endfor -%}
    {%- set row -%}
        {%- for key in group.entity -%}
        '{{ key }} ', coalesce(cast({{ feature_store.quoted(key) }} as varchar), 'null'), ', ',
        {%- endfor -%}
        'usable from ', coalesce(cast({{ available_at }} as varchar), 'null'), ': '
    {%- endset -%}
    {%- set sql -%}
        select concat({{ row }}, concat_ws('; ', {{ found | join(', ') }})) as problem
        from (
            select {{ columns | join(', ') }}, built.clock as _clock, built.availability_lag_hours as _lag
            from {{ relation }} as checked
            left join ({{ feature_store.current_ledger(node.unique_id) }}) as built on checked.{{ day }} = built.day
        ) as judged
        where {{ any | join(' or ') }}
    {%- endset -%}
    {{ return(sql) }}
{% endmacro %}

{% macro _may_be_future(column) %}
    {{ return(((column.get('config') or {}).get('meta') or column.get('meta') or {}).get('may_be_future')) }}
{% endmacro %}
