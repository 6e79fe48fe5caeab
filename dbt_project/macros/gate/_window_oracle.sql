{#- Every feature of a declaration by its plainest SQL, for equals_oracle; shares nothing with window_features.
    Each is `{name, sql, tolerance}`: an aggregate over the events of a day's row, and SQL of how far a sum of doubles may
    be off, whose order is another one here. -#}
{% macro _window_oracle(declaration, types) %}
    {%- set found = [] -%}
    {%- for name, declared in declaration['features'].items() -%}
        {%- set by = declared.get('by') or {} -%}
        {%- for column, values in by.items() -%}
            {%- for value in values -%}
                {%- set is_value = 'events.' ~ column ~ ' = ' ~ ("'" ~ value ~ "'" if value is string else value) -%}
                {%- do found.append(feature_store._oracle_feature(name ~ '_' ~ value, declared, declaration, types, is_value)) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- if not by -%} {%- do found.append(feature_store._oracle_feature(name, declared, declaration, types)) -%} {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{% macro _oracle_feature(name, declared, declaration, types, is_value=none) %}
    {%- set options = ['days', 'where', 'by', 'default', 'ties', 'n'] -%}
    {%- set kind = declared.keys() | reject('in', options) | first -%}
    {%- set x = 'events.' ~ (declaration['time'] if declared[kind] == '*' else declared[kind]) -%}
    {%- set seen = ['events.event_day > ' ~ feature_store.add_days('days.day', -declared['days'])] -%}
    {%- if is_value -%} {%- do seen.append(is_value) -%} {%- endif -%}
    {%- if declared.get('where') -%} {%- do seen.append(feature_store._oracle_condition(declaration, declared)) -%} {%- endif -%}
    {%- do seen.append(x ~ ' is not null') -%}
    {%- set seen = seen | join(' and ') -%}
    {%- set is_double = modules.re.match('double|float|real', types.get(name, '')) -%}
    {%- set order = ['events.' ~ declaration['time']] + (['events.' ~ declared['ties']] if declared.get('ties') else []) -%}
    {%- set tolerance = none -%}
    {%- if kind == 'days_since_last' -%}
        {%- set latest = feature_store.plain_aggregate('max', 'events.event_day', seen) -%}
        {%- set sql = feature_store.days_between('(' ~ latest ~ ')', 'days.day') -%}
    {%- else -%}
        {%- set sql = feature_store.plain_aggregate(kind, x, seen, order, declared.get('n')) -%}
    {%- endif -%}
    {%- if kind in ['sum', 'avg'] and is_double -%}
        {%- set tolerance = '1e-9 * ' ~ feature_store.plain_aggregate(kind, 'abs(' ~ x ~ ')', seen) -%}
    {%- elif kind == 'stddev' -%}
        {%- set tolerance = '1e-6 * ' ~ feature_store.plain_aggregate('max', 'abs(' ~ x ~ ')', seen) -%}
    {%- endif -%}
    {%- if declared.get('default') is not none -%}
        {%- set default = declared['default'] -%}
        {%- set sql = 'coalesce(' ~ sql ~ ', ' ~ ("'" ~ default ~ "'" if default is string else default) ~ ')' -%}
    {%- endif -%}
    {{ return({'name': name, 'sql': 'cast(' ~ sql ~ ' as ' ~ types[name] ~ ')', 'tolerance': tolerance}) }}
{% endmacro %}

{#- Conditions are computed beside the events, where their columns have no other name. -#}
{% macro _oracle_condition(declaration, declared) %}
    {{ return('events.condition_' ~ (feature_store._oracle_conditions(declaration).index(declared['where']) + 1)) }}
{% endmacro %}

{% macro _oracle_conditions(declaration) %}
    {{ return(declaration['features'].values() | map(attribute='where') | select('string') | unique | list) }}
{% endmacro %}
