{#- The recorded SQL, not the model's text as it is now: what is tested is what made the table. -#}
{% macro cut_build(unique_id, told, instant=none, days=none) %}
    {%- set cuts = {} -%}
    {%- for id, known_at in told.items() if instant and known_at not in [none, 'always'] -%}
        {%- do cuts.update({id: 'select ' ~ feature_store._columns_as_of(id, instant) ~ ' from ' ~ feature_store._cut_from()
            ~ ' where ' ~ known_at ~ ' <= ' ~ feature_store._literal(instant)}) -%}
    {%- endfor -%}
    {%- set state = {'cuts': cuts, 'whole': true, 'names': {}, 'parts': []} -%}
    {%- set text = feature_store.build_again(feature_store._built_sql(unique_id), unique_id, state, is_compiled=true) -%}
    {%- set unread = cuts.keys() | reject('in', state.names) | list -%}
    {%- if unread -%}
        {{ exceptions.raise_compiler_error(
            'knows_no_future of ' ~ feature_store._node(unique_id).name ~ ': its SQL does not read '
            ~ feature_store._short_names(unique_id, unread) ~ ' by the name that dbt gives it, so it cannot be cut; '
            ~ 'write null: not provable'
        ) }}
    {%- endif -%}
    {%- if days -%}
        {%- do state.parts.append('_cut_plan as (' ~ feature_store._days_to_build(unique_id, days.available_at, days.sql) ~ ')') -%}
        {%- set text = text | replace(feature_store.record('build_plan') | string, '_cut_plan') -%}
    {%- endif -%}
    {{ return(
        ('with ' ~ state.parts | join(',\n') ~ ' ' if state.parts else '') ~ 'select * from (' ~ text ~ '\n) as rebuilt'
    ) }}
{% endmacro %}

{#- A model built by day is built for the newest days that the table says could be used. Days that other SQL built may
    rightly hold other rows; `gate_objections` says whether they passed the gate of their own. None for another model. -#}
{% macro cut_days(unique_id, available_at, instant, count) %}
    {%- if feature_store.record('build_plan') | string not in feature_store._built_sql(unique_id) -%} {{ return(none) }} {%- endif -%}
    {%- set newest -%}
        select day from (
            select day, max({{ available_at }}) as usable_at from {{ feature_store._node(unique_id).relation_name }}
            where
                {{ available_at }} <= {{ feature_store._literal(instant) }}
                and day in ({{ feature_store._days_of_newest_sql(unique_id) }})
            group by day
        ) as usable order by usable_at desc, day desc limit {{ count }}
    {%- endset -%}
    {{ return({'sql': newest, 'available_at': available_at}) }}
{% endmacro %}

{#- A row of a dbt snapshot is written to once more, when it ends: before that nobody knew its end. -#}
{% macro _columns_as_of(unique_id, instant) %}
    {%- set end = feature_store._node(unique_id) -%}
    {%- if end.resource_type | string != 'snapshot' -%} {{ return('*') }} {%- endif -%}
    {%- set ends = (end.config.snapshot_meta_column_names or {}).get('dbt_valid_to') or 'dbt_valid_to' -%}
    {%- set open = end.config.dbt_valid_to_current or 'null' -%}
    {%- set columns = [] -%}
    {%- for name in feature_store.column_types(end.relation_name, 'inputs') -%}
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
