{#- The one reading of a declaration of windows: what is wrong with it is reported here, all at once. What needs the
    contract or the events' columns is checked when dbt compiles, the rest while it parses. -#}
{% macro _window_declaration(events, entity, time, features, ingested_at) %}
    {%- set errors = [] -%}
    {%- set found = [] -%}
    {%- for name, declared in features.items() -%}
        {%- set feature = feature_store._window_feature(name, declared, errors) -%}
        {%- if feature -%} {%- do found.extend(feature_store._by_value(feature, errors)) -%} {%- endif -%}
    {%- endfor -%}
    {%- if not features -%} {%- do errors.append('features: there are none; declare at least one') -%} {%- endif -%}
    {%- if not entity or entity is string -%}
        {%- do errors.append("entity: write a list of columns, ['customer_id']") -%}
    {%- endif -%}
    {%- set names = found | map(attribute='name') | list -%}
    {%- for name in names | unique if names.count(name) > 1 -%}
        {%- do errors.append(name ~ ': two features have this name') -%}
    {%- endfor -%}
    {%- for name in names if name in ['day', 'available_at'] or name in entity -%}
        {%- do errors.append(name ~ ': every row has a column of this name; choose another for the feature') -%}
    {%- endfor -%}
    {#- The name of the events' time of arrival that every part of the store knows. -#}
    {%- set arrival = ingested_at or ('ingested_at' if feature_store.has_column(events, 'ingested_at') else none) -%}
    {%- set columns = (entity if entity is not string else []) + [time] + ([arrival] if arrival else []) -%}
    {%- set read = columns + found | map(attribute='column') | reject('eq', '*') | list
        + found | map(attribute='ties') | select | list -%}
    {%- for column in read | unique -%}
        {%- if not modules.re.match('^[A-Za-z_][A-Za-z0-9_]*$', column | string) -%}
            {%- do errors.append(column ~ ' is not the name of a column; name an expression in the model of the events') -%}
        {%- elif column | lower in feature_store._window_names() or modules.re.search('__', column) -%}
            {%- do errors.append(column ~ ': the SQL of windows has such a name of its own; rename the column in the model of the events') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set types = feature_store._window_types(events, entity, read, found, errors) -%}
    {%- set horizon = found | map(attribute='days') | list | max if found else 0 -%}
    {#- Days are planned again for events that far back; with fewer, some would keep features of before. -#}
    {%- for hook in (model.get('config') or {}).get('pre-hook') or [] if execute -%}
        {%- set planned = modules.re.search('plan_days\\(.*window_days *= *(\\d+)', hook['sql'] | string) -%}
        {%- if planned and planned.group(1) | int != horizon + 1 -%}
            {%- do errors.append(
                'pre_hook: plan_days: window_days is ' ~ planned.group(1) ~ '; write ' ~ (horizon + 1) ~ ', the longest window and the closing row'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if errors -%}
        {{ exceptions.raise_compiler_error(
            'window_features: model ' ~ model.name ~ ':\n  - ' ~ errors | join('\n  - ')
        ) }}
    {%- endif -%}
    {{ return({
        'entity': entity, 'time': time, 'arrival': arrival, 'features': found, 'types': types,
        'horizon': horizon,
    }) }}
{% endmacro %}

{% macro _window_names() %}
    {{ return([
        'day', 'available_at', 'event_day', 'known_day', 'from_day', 'first_day', 'last_day', 'happened_at', 'latest',
        'next_change_day', 'events_from', 'events_before', 'requested',
    ]) }}
{% endmacro %}

{% macro _aggregations() %}
    {{ return([
        'count', 'count_distinct', 'sum', 'avg', 'min', 'max', 'stddev', 'first', 'last', 'days_since_last', 'last_n',
    ]) }}
{% endmacro %}

{#- One feature as declared, or none if it cannot be read. -#}
{% macro _window_feature(name, declared, errors) %}
    {%- if declared is not mapping -%}
        {%- do errors.append(name ~ ": write an aggregation and its days, {'count': '*', 'days': 7}") -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set known = feature_store._aggregations() -%}
    {%- set options = ['days', 'where', 'default', 'ties', 'n', 'by'] -%}
    {%- for key in declared if key not in known + options -%}
        {%- do errors.append(name ~ ': unknown key ' ~ key ~ '; known: ' ~ (known + options) | join(', ')) -%}
    {%- endfor -%}
    {%- set kinds = declared.keys() | select('in', known) | list -%}
    {%- if kinds | length != 1 -%}
        {%- do errors.append(
            name ~ ': ' ~ (kinds | join(' and ') ~ ' are two aggregations; write one' if kinds else
            'the aggregation is missing; write one of ' ~ known | join(', '))
        ) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set kind = kinds[0] -%}
    {%- set days = declared.get('days') -%}
    {%- if days is not integer or days is boolean or not 1 <= days <= 400 -%}
        {%- do errors.append(name ~ ': days: ' ~ ('is missing' if days is none else days) ~ '; write a whole number from 1 to 400') -%}
    {%- endif -%}
    {%- if declared[kind] == '*' and kind not in ['count', 'days_since_last'] -%}
        {%- do errors.append(name ~ ': ' ~ kind ~ ' needs a column, not *') -%}
    {%- endif -%}
    {%- set allowed = {'n': ['last_n'], 'ties': ['first', 'last', 'last_n']} -%}
    {%- for key, of in allowed.items() if key in declared and kind not in of -%}
        {%- do errors.append(name ~ ': ' ~ key ~ ' is an option of ' ~ of | join(', ') ~ ', not of ' ~ kind) -%}
    {%- endfor -%}
    {%- if kind == 'last_n' and (declared.get('n') is not integer or not 1 <= declared['n'] <= 1000) -%}
        {%- do errors.append(name ~ ': n: ' ~ declared.get('n', 'is missing') ~ '; write a whole number from 1 to 1000') -%}
    {%- endif -%}
    {%- if 'default' in declared and kind in ['count', 'count_distinct', 'last_n'] -%}
        {%- do errors.append(name ~ ': default is no option of ' ~ kind) -%}
    {%- elif 'default' in declared and declared['default'] is not string and declared['default'] is not number -%}
        {%- do errors.append(name ~ ': default: write a number or text') -%}
    {%- endif -%}
    {%- if 'where' in declared and (declared['where'] is not string or not declared['where'].strip()) -%}
        {%- do errors.append(name ~ ": where: write a condition on the events' columns, \"status = 'refunded'\"") -%}
    {%- endif -%}
    {{ return({
        'name': name, 'kind': kind, 'column': declared[kind], 'days': days if days is integer else 1,
        'where': declared.get('where'), 'default': declared.get('default'), 'ties': declared.get('ties'),
        'n': declared.get('n'), 'by': declared.get('by'),
    }) }}
{% endmacro %}

{#- A feature for each value of `by`, or the feature itself. -#}
{% macro _by_value(feature, errors) %}
    {%- set by = feature['by'] -%}
    {%- if by is none -%} {{ return([feature]) }} {%- endif -%}
    {%- set example = "; write one column and its values, {'event_type': ['view', 'buy']}" -%}
    {%- if by is not mapping or by | length != 1 -%}
        {%- do errors.append(feature['name'] ~ ': by' ~ example) -%} {{ return([]) }}
    {%- endif -%}
    {%- set column, values = by.items() | first -%}
    {%- if values is string or values is not sequence or not values -%}
        {%- do errors.append(feature['name'] ~ ': by' ~ example) -%} {{ return([]) }}
    {%- endif -%}
    {%- set each = [] -%}
    {%- for value in values -%}
        {%- if not modules.re.match('^[A-Za-z0-9_]+$', value | string) -%}
            {%- do errors.append(feature['name'] ~ ': by: ' ~ value ~ ' cannot end the name of a column; name it in the model of the events') -%}
        {%- endif -%}
        {%- set is_value = column ~ ' = ' ~ (feature_store.as_literal(value) if value is string else value) -%}
        {%- set one = dict(feature) -%}
        {%- do one.update({
            'name': feature['name'] ~ '_' ~ value,
            'where': '(' ~ feature['where'] ~ ') and ' ~ is_value if feature['where'] else is_value,
        }) -%}
        {%- do each.append(one) -%}
    {%- endfor -%}
    {{ return(each) }}
{% endmacro %}

{#- The type of each feature, by the contract; empty where dbt does not show it: while it parses, and in unit tests. -#}
{% macro _window_types(events, entity, read, features, errors) %}
    {%- if not execute or model.resource_type != 'model' -%} {{ return({}) }} {%- endif -%}
    {%- set types = {} -%}
    {%- for column in model.columns.values() -%} {%- do types.update({column.name: (column.data_type or '') | lower}) -%} {%- endfor -%}
    {%- set names = features | map(attribute='name') | list -%}
    {%- for name in entity + ['day'] + names + ['available_at'] if name not in types -%}
        {%- do errors.append(name ~ ': not a column of the contract; add it to the columns of the model in YAML') -%}
    {%- endfor -%}
    {%- for name in types if name not in entity + ['day'] + names + ['available_at'] -%}
        {%- do errors.append(name ~ ': a column of the contract that is no declared feature; declare it, or remove the column') -%}
    {%- endfor -%}
    {%- set inputs = feature_store.column_types(events, 'events') -%}
    {#- The arrival of events could not be seen, and late ones would count on their own day. -#}
    {%- if events is not string and events.is_cte -%}
        {%- do errors.append('events: ' ~ events ~ ' is ephemeral, and its columns cannot be looked at; make it a view') -%}
    {%- endif -%}
    {%- for column in read | unique if inputs and column | lower not in inputs -%}
        {%- do errors.append(column ~ ': not a column of ' ~ events ~ '; it has ' ~ inputs.keys() | join(', ')) -%}
    {%- endfor -%}
    {%- for feature in features if feature['name'] in types -%}
        {%- set type = types[feature['name']] -%}
        {%- if feature['kind'] == 'sum' -%}
            {%- set scale = feature_store._scale_of(type) -%}
            {%- set given = inputs.get(feature['column'] | lower) -%}
            {%- if scale is none and not feature_store._is_double(type) -%}
                {%- do errors.append(feature['name'] ~ ': a sum is a whole number, decimal(p, s) or double, not ' ~ (type or 'a column without data_type')) -%}
            {%- elif given and scale is not none and (feature_store._scale_of(given) is none or feature_store._scale_of(given) > scale) -%}
                {%- do errors.append(feature['name'] ~ ': ' ~ type ~ ' cannot hold sums of ' ~ feature['column'] ~ ', which is ' ~ given | lower) -%}
            {%- endif -%}
        {%- elif feature['kind'] in ['avg', 'stddev'] and not feature_store._is_double(type) -%}
            {%- do errors.append(feature['name'] ~ ': ' ~ feature['kind'] ~ ' is a double, not ' ~ (type or 'a column without data_type')) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(types) }}
{% endmacro %}

{#- Digits after the point of an exact type; none of any other. -#}
{% macro _scale_of(type) %}
    {%- set type = type | lower -%}
    {%- if modules.re.match('^u?(tiny|small|big|huge)?int(eger)?$', type) -%} {{ return(0) }} {%- endif -%}
    {%- set decimal = modules.re.match('^(?:decimal|numeric) *[(] *\\d+ *, *(\\d+) *[)]$', type) -%}
    {{ return(decimal.group(1) | int if decimal else none) }}
{% endmacro %}

{% macro _is_double(type) %}
    {{ return((type or '') | lower | replace('[]', '') | trim in ['double', 'float', 'real', 'float4', 'float8', 'double precision']) }}
{% endmacro %}
