{#- What a group's rows mean in time stands in its own meta, so that a training set, a lookup and a push agree:
    the column that says from when a row may be used, how long it may be, and which row stays true. -#}
{% macro point_in_time_join(spine, time, columns, groups) %}
    {#- Into the manifest, so that who serves a model trained on these rows finds the same groups in the same way. -#}
    {%- do config(meta={'point_in_time': {'time': time, 'columns': columns, 'groups': groups}}) -%}
    {%- set joined = [] -%}
    {%- for group in groups -%}
        {%- do joined.append(feature_store._joined_group(group, time, loop.index)) -%}
    {%- endfor %}
with

spine as (
    select
        {{ columns | join(',\n        ') }}
    from {{ spine }}
),
{% for group in joined %}
{{ group.alias }} as (
    select
        {{ group.selected | join(',\n        ') }}
    from {{ group.relation }}
),
{% if group.runs %}
-- One row per run of consecutive built days. Inside a run a missing row means there is nothing to
-- say; beyond its end nobody knows.
{{ group.runs }} as (
    select
        min(day) as first_day,
        max(day) as last_day
    from (
        select
            day,
            {{ feature_store.add_days('day', '-cast(row_number() over (order by day) as integer)') }} as run
        from {{ feature_store.built_days(group.name) }} as built
    ) as numbered
    group by run
),
{% endif %}
{%- endfor %}
joined as (
    select
        {%- for column in columns %}
        spine.{{ column }}{{ ',' if joined or not loop.last }}
        {%- endfor %}
        {%- for group in joined %}
        {%- set last_group = loop.last %}
        {%- for source, name in group.columns.items() %}
        {{ group.alias }}.{{ source }} as {{ name }}{{ ',' if group.is_true or not (last_group and loop.last) }}
        {%- endfor %}
        {%- if group.is_true %}
        {{ group.is_true }} as {{ group.alias }}_holds{{ ',' if not last_group }}
        {%- endif %}
        {%- endfor %}
    from spine
    {%- for group in joined %}
    {{ feature_store.asof_left_join(group.alias, group.alias, group.on, 'spine', time, group.available_at) }}
    {%- if group.runs %}
    left join {{ group.runs }}
        on {{ group.alias }}.{{ group.partition }} between {{ group.runs }}.first_day and {{ group.runs }}.last_day
    {%- endif %}
    {%- endfor %}
)

-- A row that is not true any more is null, never stale.
select
    {{ columns | join(',\n    ') }}
    {%- for group in joined %}
    {%- for name in group.columns.values() %},
    {{ 'case when ' ~ group.alias ~ '_holds then ' ~ name ~ ' end as ' ~ name if group.is_true else name }}
    {%- endfor %}
    {%- endfor %}
from joined
{%- endmacro %}

{% macro _joined_group(group, time, number) %}
    {%- set unknown = group.keys() | reject('in', ['group', 'version', 'on', 'columns', 'prefix']) | list -%}
    {%- if unknown -%}
        {{ exceptions.raise_compiler_error(
            'point_in_time_join: ' ~ unknown | join(', ') ~ ' is no part of a group; known: group, version, on, columns, prefix'
        ) }}
    {%- endif -%}
    {%- set name = group['group'] -%}
    {%- set relation = ref(name, v=group['version']) if group.get('version') else ref(name) -%}
    {%- set meta = feature_store.feature_group_meta(name) -%}
    {%- set alias = 'group_' ~ number -%}
    {%- set prefix = group.get('prefix', '') -%}
    {%- set available_at = meta.get('available_at', 'available_at') -%}
    {%- set partition = meta.get('partition', 'day') -%}
    {%- set closing = meta.get('closing_row') -%}
    {%- set columns = {} -%}
    {%- for column in group['columns'] -%} {%- do columns.update({column: prefix ~ column}) -%} {%- endfor -%}
    {%- set selected = [] -%}
    {%- for column in group['on'].keys() | list + group['columns'] + [available_at] + ([partition] if closing else []) -%}
        {%- do selected.append(column) if column not in selected -%}
    {%- endfor -%}
    {%- if closing -%} {%- do selected.append(closing ~ ' as is_closing') -%} {%- endif -%}
    {%- set runs = alias ~ '_built' if closing -%}
    {{ return({
        'name': name, 'relation': relation, 'alias': alias, 'columns': columns, 'selected': selected,
        'on': group['on'], 'available_at': available_at, 'partition': partition, 'runs': runs,
        'is_true': feature_store._is_true(meta, 'spine.' ~ time, alias, available_at, partition, runs),
    }) }}
{% endmacro %}

{#- SQL of whether a row that was found may still be used, none when it always may. -#}
{% macro _is_true(meta, time, alias, available_at, partition, runs) %}
    {%- set conditions = [] -%}
    {%- set start = alias ~ '.' ~ available_at -%}
    {%- if meta.get('fresh_hours') -%}
        {%- set fresh = time ~ ' < ' ~ feature_store.add_hours(start, meta['fresh_hours']) -%}
        {%- if runs -%}
            {#- A closing row is true for as long as every day since was built: a change would have made a row. -#}
            {%- set until = feature_store.add_hours(start, '24 * (1 + ' ~ feature_store.days_between(alias ~ '.' ~ partition, runs ~ '.last_day') ~ ')') -%}
            {%- set fresh = '(' ~ fresh ~ ' or (' ~ alias ~ '.is_closing and ' ~ time ~ ' < ' ~ until ~ '))' -%}
        {%- endif -%}
        {%- do conditions.append(fresh) -%}
    {%- endif -%}
    {%- if meta.get('ttl_days') -%}
        {%- do conditions.append(time ~ ' < ' ~ feature_store.add_hours(start, 24 * meta['ttl_days'])) -%}
    {%- endif -%}
    {{ return(conditions | join(' and ') if conditions else none) }}
{% endmacro %}
