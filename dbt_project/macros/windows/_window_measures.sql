{#- What the declared features need of the events. Features share what is the same, whatever their windows are:
    - inputs: columns of the events, narrowed by a condition, read exactly or as doubles;
    - counts: sums over events, which enter and leave a window (`count_days`: of which windows);
    - distinct: inputs whose values are counted once, with their windows;
    - latest: greatest values so far, which need no window;
    - tiles: partial aggregates of a day's events, and how those of a window are put together. -#}
{% macro _window_measures(declaration) %}
    {%- set plan = dict(declaration) -%}
    {%- do plan.update({
        'inputs': {}, 'wheres': [], 'counts': {}, 'sums': [], 'distinct': {}, 'latest': {'latest': 'happened_at'}, 'tiles': {},
        'active': {}, 'outputs': [], 'checks': {},
    }) -%}
    {%- for feature in plan['features'] -%}
        {%- do plan['outputs'].append({
            'name': feature['name'], 'sql': feature_store._window_value(plan, feature, plan['types'].get(feature['name'])),
        }) -%}
    {%- endfor -%}
    {#- The windows that a state is told apart by, shortest first. -#}
    {%- set ends = [] -%}
    {%- for one in plan['sums'] -%} {%- do ends.append(one['days']) -%} {%- endfor -%}
    {%- for windows in plan['distinct'].values() -%} {%- do ends.extend(windows) -%} {%- endfor -%}
    {%- for one in plan['active'].values() -%} {%- do ends.append(one['days']) -%} {%- endfor -%}
    {%- do plan.update({'ends': ends | unique | sort | list}) -%}
    {{ return(plan) }}
{% endmacro %}

{#- SQL of a feature, over the columns of `state_days` and `in_windows`. -#}
{% macro _window_value(plan, feature, type) %}
    {%- set kind, days = feature['kind'], feature['days'] -%}
    {%- if kind == 'count' -%}
        {%- set value = feature_store._count_in(plan, feature, days) -%}
        {{ return('cast(' ~ value ~ ' as ' ~ (type or 'bigint') ~ ')') }}
    {%- elif kind == 'count_distinct' -%}
        {%- set input = feature_store._window_input(plan, feature) -%}
        {%- do plan['distinct'].setdefault(input, []).append(days) if days not in plan['distinct'].get(input, []) -%}
        {{ return('cast(cast(distinct_' ~ input ~ '_' ~ days ~ ' as bigint) as ' ~ (type or 'bigint') ~ ')') }}
    {%- elif kind == 'days_since_last' or kind == 'last' -%}
        {%- set value = feature_store._latest_value(plan, feature, type) -%}
    {%- elif kind == 'sum' and type and feature_store._scale_of(type) is not none -%}
        {%- set input = feature_store._window_input(plan, feature, 'decimal(38, ' ~ feature_store._scale_of(type) ~ ')') -%}
        {%- set sum = feature_store._sum_in(plan, 'sum_of_' ~ input, 'coalesce(sum(' ~ input ~ '), 0)', days) -%}
        {%- set count = feature_store._count_in(plan, feature, days) -%}
        {%- set value = feature_store.cast_or_refuse(
            'case when ' ~ count ~ ' > 0 then ' ~ sum ~ ' end', type,
            feature_store._row_named(plan, 'state_days.', 'day', 'state_days.day', feature['name'] ~ ' does not fit ' ~ type)
        ) -%}
    {%- else -%}
        {%- set value = feature_store._tiled_value(plan, feature, type) -%}
    {%- endif -%}
    {%- if feature['default'] is not none -%}
        {%- set default = feature['default'] -%}
        {%- set literal = feature_store.as_literal(default) if default is string else default -%}
        {%- set value = 'coalesce(' ~ value ~ ', ' ~ ('cast(' ~ literal ~ ' as ' ~ type ~ ')' if type else literal) ~ ')' -%}
    {%- endif -%}
    {{ return(value) }}
{% endmacro %}

{#- The column of `events` that a feature aggregates; null where the feature's condition is not met. -#}
{% macro _window_input(plan, feature, read_as=none) %}
    {%- set column = feature['column'] -%}
    {%- set sql = {'*': '1', plan['time']: 'happened_at'}.get(column, column) -%}
    {%- set name = {'*': 'event', plan['time']: 'happened_at'}.get(column, column) -%}
    {%- set source = plan['time'] if sql == 'happened_at' else sql -%}
    {%- if read_as == 'double' -%}
        {%- set source = feature_store.finite_or_refuse(
            source, feature_store._row_named(plan, '', plan['time'], plan['time'], column ~ ' is not finite')
        ) -%}
        {%- set name = name ~ '__as_double' -%}
    {%- elif read_as -%}
        {%- set source = 'cast(' ~ source ~ ' as ' ~ read_as ~ ')' -%}
        {%- set name = name ~ '__as_' ~ modules.re.sub('\\W+', '_', read_as).strip('_') -%}
    {%- endif -%}
    {%- if feature['where'] -%}
        {%- if feature['where'] not in plan['wheres'] -%} {%- do plan['wheres'].append(feature['where']) -%} {%- endif -%}
        {%- set source = 'case when ' ~ feature['where'] ~ ' then ' ~ source ~ ' end' -%}
        {%- set name = name ~ '__where_' ~ (plan['wheres'].index(feature['where']) + 1) -%}
    {%- endif -%}
    {%- if name not in plan['entity'] + ['happened_at'] -%} {%- do plan['inputs'].update({name: source}) -%} {%- endif -%}
    {{ return(name) }}
{% endmacro %}

{% macro _sum_in(plan, measure, sql, days) %}
    {%- do plan['counts'].update({measure: sql}) -%}
    {%- set name = measure ~ '_' ~ days -%}
    {%- if name not in plan['sums'] | map(attribute='name') -%}
        {%- do plan['sums'].append({'name': name, 'measure': measure, 'days': days}) -%}
    {%- endif -%}
    {{ return(name) }}
{% endmacro %}

{% macro _count_in(plan, feature, days) %}
    {%- if feature['column'] == '*' and not feature['where'] -%}
        {{ return(feature_store._sum_in(plan, 'count_of_events', 'count(*)', days)) }}
    {%- endif -%}
    {%- set input = feature_store._window_input(plan, feature) -%}
    {{ return(feature_store._sum_in(plan, 'count_of_' ~ input, 'count(' ~ input ~ ')', days)) }}
{% endmacro %}

{#- The latest event so far is in a window or none is. -#}
{% macro _latest_value(plan, feature, type) %}
    {%- set is_time = feature['column'] in ['*', plan['time']] -%}
    {%- if feature['kind'] == 'days_since_last' or is_time -%}
        {%- set of = dict(feature) -%}
        {#- Null where the column is. -#}
        {%- if not is_time -%}
            {%- set has_value = feature['column'] ~ ' is not null' -%}
            {%- do of.update({'where': '(' ~ feature['where'] ~ ') and ' ~ has_value if feature['where'] else has_value}) -%}
        {%- endif -%}
        {%- do of.update({'column': plan['time']}) -%}
        {%- set input = feature_store._window_input(plan, of) -%}
        {%- set name = 'latest' if input == 'happened_at' else 'latest_' ~ input -%}
        {%- do plan['latest'].update({name: input}) -%}
        {%- set at, value = name, name -%}
    {%- else -%}
        {%- set input, sql, name = feature_store._value_at_its_time(plan, feature, type) -%}
        {%- set name = 'last_' ~ name -%}
        {%- do plan['latest'].update({name: sql}) -%}
        {%- set at, value = name ~ '.happened_at', name ~ '.value' -%}
    {%- endif -%}
    {%- set day = 'cast(state_days.' ~ at ~ ' as date)' -%}
    {%- if feature['kind'] == 'days_since_last' -%}
        {%- set value = feature_store.days_between(day, 'state_days.day') -%}
    {%- else -%}
        {%- set value = 'state_days.' ~ value -%}
    {%- endif -%}
    {%- set value = 'case when ' ~ day ~ ' > ' ~ feature_store.add_days('state_days.day', -feature['days']) ~ ' then ' ~ value ~ ' end' -%}
    {%- if feature['kind'] == 'days_since_last' -%} {%- set value = 'cast(' ~ value ~ ' as ' ~ (type or 'integer') ~ ')' -%} {%- endif -%}
    {{ return(value) }}
{% endmacro %}

{% macro _value_at_its_time(plan, feature, type) %}
    {%- set input = feature_store._window_input(plan, feature, 'double' if feature_store._is_double(type) else none) -%}
    {%- set ties = feature['ties'] -%}
    {%- set name = input ~ ('_by_' ~ ties if ties else '') -%}
    {%- if ties and ties not in plan['entity'] -%} {%- do plan['inputs'].update({ties: ties}) -%} {%- endif -%}
    {%- if feature['column'] not in [plan['time'], ties] + plan['entity'] -%}
        {%- do plan['checks'].update({name: {'input': input, 'ties': ties, 'column': feature['column']}}) -%}
    {%- endif -%}
    {{ return([input, feature_store.at_its_time(input, 'happened_at', ties), name]) }}
{% endmacro %}

{#- What cannot be subtracted, or not exactly, is aggregated anew for each window, from the days' partial aggregates. -#}
{% macro _tiled_value(plan, feature, type) %}
    {%- set kind, days = feature['kind'], feature['days'] -%}
    {%- set doubles = kind in ['sum', 'avg', 'stddev'] or feature_store._is_double(type) -%}
    {%- set order = ['event_day'] + (['known_day'] if plan['arrival'] else []) -%}
    {%- if kind in ['first', 'last_n'] -%}
        {%- set input, sql, name = feature_store._value_at_its_time(plan, feature, type) -%}
        {%- if kind == 'first' -%}
            {%- set value = feature_store._active(plan, 'first_' ~ name, 'min(' ~ sql ~ ')', 'min({})', days) -%}
            {{ return(value ~ '.value') }}
        {%- endif -%}
        {%- set n = feature['n'] -%}
        {{ return(feature_store._active(
            plan, 'last_' ~ n ~ '_' ~ name, feature_store.greatest_n(sql, n), feature_store.greatest_n_of_all('{}', n), days
        )) }}
    {%- endif -%}
    {%- set input = feature_store._window_input(plan, feature, 'double' if doubles else none) -%}
    {%- if kind in ['min', 'max'] -%}
        {%- set value = feature_store._active(plan, kind ~ '_of_' ~ input, kind ~ '(' ~ input ~ ')', kind ~ '({})', days) -%}
        {{ return('cast(' ~ value ~ ' as ' ~ type ~ ')' if doubles else value) }}
    {%- elif kind == 'stddev' -%}
        {%- set parts = feature_store._active(
            plan, 'moments_of_' ~ input, feature_store.moments(input), feature_store.moments_in_order('{}', order), days
        ) -%}
        {%- set value = feature_store.deviation_of(parts) -%}
    {%- else -%}
        {%- set value = feature_store._active(
            plan, 'sum_of_' ~ input, feature_store.ordered_sum(input, [input]), feature_store.ordered_sum('{}', order), days
        ) -%}
        {%- if kind == 'avg' -%}
            {%- set count = feature_store._active(plan, 'count_of_' ~ input, 'count(' ~ input ~ ')', 'sum({})', days) -%}
            {%- set value = value ~ ' / ' ~ count -%}
        {%- endif -%}
    {%- endif -%}
    {{ return('cast(' ~ feature_store.finite_or_refuse(
        value, feature_store._row_named(plan, 'state_days.', 'day', 'state_days.day', feature['name'] ~ ' is not finite')
    ) ~ ' as ' ~ (type or 'double') ~ ')') }}
{% endmacro %}

{% macro _active(plan, measure, tile, combined, days) %}
    {%- do plan['tiles'].update({measure: tile}) -%}
    {%- set name = measure ~ '_in_' ~ days -%}
    {%- do plan['active'].update({name: {'measure': measure, 'sql': combined, 'days': days}}) -%}
    {{ return('in_windows.' ~ name) }}
{% endmacro %}

{#- SQL of a message that names a row. -#}
{% macro _row_named(plan, alias, time_name, time, problem) %}
    {%- set parts = ["'" ~ model.name ~ ": '"] -%}
    {%- for key in plan['entity'] -%}
        {%- do parts.append("'" ~ key ~ " ', coalesce(cast(" ~ alias ~ key ~ " as varchar), 'null'), ', '") -%}
    {%- endfor -%}
    {%- do parts.append("'" ~ time_name ~ " ', cast(" ~ time ~ " as varchar), ': " ~ problem ~ "'") -%}
    {{ return('concat(' ~ parts | join(', ') ~ ')') }}
{% endmacro %}
