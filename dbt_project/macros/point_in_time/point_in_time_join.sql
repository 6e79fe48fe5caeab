{#- What a group's rows mean in time is declared in its own meta, so that a training set, a lookup and a push
    agree: from when a row may be used, for how long, and which row stays true. -#}
{% macro point_in_time_join(spine, time, columns, groups) %}
    {#- Into the manifest, so that serving finds the same groups by the same keys. -#}
    {%- do config(meta={'point_in_time': {'time': time, 'columns': columns, 'groups': groups}}) -%}
    {#- From here on, names as SQL. -#}
    {%- set time, columns = feature_store.quoted(time), feature_store.quoted_list(columns) -%}
    {%- set joined = [] -%}
    {%- for group in groups -%}
        {%- do joined.append(feature_store._joined_group(group, time, loop.index)) -%}
    {%- endfor -%}
    {#- One group after the other is joined to the rows so far. -#}
    {%- set carried = columns | list -%}
    {%- set so_far = namespace(name='spine') %}
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
    from {{ feature_store.newest_candidates(group.relation, group.on.keys(), group.available_at, group.event_time) }}
),
{% if group.runs %}
-- One row per run of consecutive built days. Inside a run a missing row means that nothing changed;
-- beyond its end that is unknown.
{{ group.runs }} as (
    select
        min(day) as first_day,
        max(day) as last_day
    from (
        select
            day,
            {{ feature_store.add_days('day', '-cast(row_number() over (order by day) as integer)') }} as run
        from {{ feature_store._built_days_of(group.unique_id) }} as built
    ) as numbered
    group by run
),

{{ feature_store._join_dense(group, time, so_far.name, carried) }}
{% else %}
{{ group.alias }}_seen as (
    select
        {{ feature_store._qualified('spine', carried) }},
        {{ feature_store._found(group) }}
    from {{ so_far.name }} as spine
    {{ feature_store.asof_left_join(group.alias, group.alias, group.on, 'spine', time, group.available_at) }}
),
{% endif %}
{{ group.alias }}_joined as (
    select
        {{ feature_store._qualified('seen', carried + group.columns.values() | list) }}
        {%- if group.holds %},
        {{ group.holds }} as {{ group.alias }}_holds
        {%- endif %}
    from {{ group.alias }}_seen as seen
    {%- if group.runs %}
    left join {{ group.runs }} as built
        on seen.{{ group.seen[group.partition] }} between built.first_day and built.last_day
    {%- endif %}
),
{% do carried.extend(group.columns.values() | list + ([group.alias ~ '_holds'] if group.holds else [])) %}
{%- set so_far.name = group.alias ~ '_joined' -%}
{%- endfor %}
-- Where the newest row does not hold any more there is none: never it, and never an older one.
final as (
    select
        {{ columns | join(',\n        ') }}
        {%- for group in joined %}
        {%- for name in group.columns.values() %},
        {{ 'case when ' ~ group.alias ~ '_holds then ' ~ name ~ ' end as ' ~ name if group.holds else name }}
        {%- endfor %}
        {%- endfor %}
    from {{ so_far.name }}
)

select
    {{ columns | join(',\n    ') }}
    {%- for group in joined %}
    {%- for name in group.columns.values() %},
    {{ name }}
    {%- endfor %}
    {%- endfor %}
from final
{%- endmacro %}

{#- Of a group whose entities have a row every day, nearly every row of the spine sees the newest there is: nothing
    can be newer, so an equality finds it. Only the rest goes into the ASOF join, which sorts all that it is given,
    with the rows that can matter. For a million labels and six million rows this halves the time. -#}
{% macro _join_dense(group, time, spine, carried) -%}
{{ group.alias }}_times as (
    select
        {{ feature_store._qualified('spine', carried) }},
        moments.moment as newest
    from {{ spine }} as spine
    {{ feature_store.asof_left_join(
        '(select distinct ' ~ group.available_at ~ ' as moment from ' ~ group.alias ~ ')', 'moments', {}, 'spine', time, 'moment'
    ) }}
),

{{ group.alias }}_newest as (
    select
        {{ feature_store._qualified('label_times', carried) }},
        {{ feature_store._found(group) }}
    from {{ group.alias }}_times as label_times
    left join {{ group.alias }}
        on
            {{ feature_store._same_keys(group, 'label_times') }}
            label_times.newest = {{ group.alias }}.{{ group.available_at }}
),

{{ group.alias }}_rest as (
    select
        {{ carried | join(',\n        ') }}
    from {{ group.alias }}_newest
    where {{ group.seen[group.available_at] }} is null
),

{{ group.alias }}_older as (
    select {{ group.alias }}.*
    from {{ group.alias }}
    inner join (
        select
            {% for key in group.on.values() | unique -%} {{ key }}, {% endfor -%}
            max({{ time }}) as last_time
        from {{ group.alias }}_rest
        group by all
    ) as label_times
        on
            {{ feature_store._same_keys(group, 'label_times') }}
            {{ group.alias }}.{{ group.available_at }} <= label_times.last_time
),

{{ group.alias }}_seen as (
    select *
    from {{ group.alias }}_newest
    where {{ group.seen[group.available_at] }} is not null

    union all

    select
        {{ feature_store._qualified('rest', carried) }},
        {{ feature_store._found(group) }}
    from {{ group.alias }}_rest as rest
    {{ feature_store.asof_left_join(group.alias ~ '_older', group.alias, group.on, 'rest', time, group.available_at) }}
),
{%- endmacro %}

{% macro _qualified(alias, columns) %}
    {%- set parts = [] -%}
    {%- for column in columns -%} {%- do parts.append(alias ~ '.' ~ column) -%} {%- endfor -%}
    {{ return(parts | join(',\n        ')) }}
{% endmacro %}

{#- What is taken from a group's row, under the names that it has from there on. -#}
{% macro _found(group) %}
    {%- set parts = [] -%}
    {%- for source, name in group.seen.items() -%}
        {%- do parts.append(group.alias ~ '.' ~ source ~ (' as ' ~ name if name != source else '')) -%}
    {%- endfor -%}
    {{ return(parts | join(',\n        ')) }}
{% endmacro %}

{% macro _same_keys(group, alias) %}
    {%- set parts = [] -%}
    {%- for key, column in group.on.items() -%}
        {%- do parts.append(alias ~ '.' ~ column ~ ' = ' ~ group.alias ~ '.' ~ key ~ ' and') -%}
    {%- endfor -%}
    {{ return(parts | join('\n            ')) }}
{% endmacro %}

{% macro _joined_group(group, time, number) %}
    {%- set unknown = group.keys() | reject('in', ['group', 'version', 'on', 'columns', 'prefix']) | list -%}
    {%- if unknown -%}
        {{ exceptions.raise_compiler_error(
            'point_in_time_join: ' ~ unknown | join(', ') ~ ' is not an option of a group; known: group, version, on, columns, prefix'
        ) }}
    {%- endif -%}
    {%- set name = group['group'] -%}
    {%- set relation = ref(name, v=group['version']) if group.get('version') else ref(name) -%}
    {%- set meta = feature_store.feature_group_meta(name, group.get('version')) -%}
    {%- set alias = 'group_' ~ number -%}
    {%- set prefix = group.get('prefix', '') -%}
    {%- set available_at = feature_store.quoted(meta.get('available_at', 'available_at')) -%}
    {%- set partition = feature_store.quoted(meta.get('partition', 'day')) -%}
    {%- set closing = meta.get('closing_row') if meta.get('fresh_hours') else none -%}
    {%- set columns, on = {}, {} -%}
    {%- for column in group['columns'] -%}
        {%- do columns.update({feature_store.quoted(column): feature_store.quoted(prefix ~ column)}) -%}
    {%- endfor -%}
    {%- for key, column in group['on'].items() -%}
        {%- do on.update({feature_store.quoted(key): feature_store.quoted(column)}) -%}
    {%- endfor -%}
    {#- Next to its columns, what decides whether the row still holds. -#}
    {%- set seen = dict(columns) -%}
    {%- for column, own in [[available_at, '_available_at'], [partition, '_partition']]
        if column not in seen and (closing or column == available_at) -%}
        {%- do seen.update({column: alias ~ own}) -%}
    {%- endfor -%}
    {%- set selected = (on.keys() | list + seen.keys() | list) | unique | list -%}
    {%- if closing -%}
        {%- do selected.append(closing ~ ' as is_closing') -%}
        {%- do seen.update({'is_closing': alias ~ '_is_closing'}) -%}
    {%- endif -%}
    {{ return({
        'unique_id': feature_store._group_id(name, group.get('version')), 'relation': relation, 'alias': alias, 'columns': columns, 'selected': selected, 'seen': seen,
        'on': on, 'available_at': available_at, 'event_time': feature_store.quoted(meta['event_time']) if meta.get('event_time'), 'partition': partition,
        'runs': alias ~ '_built' if closing,
        'holds': feature_store.row_holds(
            meta, 'seen.' ~ time, 'seen.' ~ seen[available_at], 'seen.' ~ seen.get(partition, partition),
            'seen.' ~ seen.get('is_closing', 'is_closing'), 'built.last_day'
        ),
    }) }}
{% endmacro %}
