{#- The groups of a view, from what point_in_time_join noted of its training set; the training set's own group first,
    when its rows are those of one. A group that a lookup would find otherwise than the join did is refused. -#}
{% macro _view_joins(node, meta, rows, noted, types) %}
    {%- set joins = [] -%}
    {%- for id in rows.depends_on.nodes if id in graph.nodes and graph.nodes[id].name == rows.config.meta['training_set']['labels'] -%}
        {%- set entity = (graph.nodes[id].config.meta.get('feature_group') or {}).get('entity') or [] -%}
        {%- if entity and not entity | reject('in', noted['columns']) | list -%}
            {%- set on, columns = dict(zip(entity, entity)), dict(zip(noted['columns'], noted['columns'])) -%}
            {%- do joins.append(feature_store._view_join(graph.nodes[id], '', on, columns, true)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for given in noted['groups'] -%}
        {%- set prefix = given.get('prefix', '') -%}
        {%- set columns = {} -%}
        {%- for column in given['columns'] -%} {%- do columns.update({prefix ~ column: column}) -%} {%- endfor -%}
        {%- set group = feature_store._group_of_join(node, rows, given) -%}
        {%- do joins.append(feature_store._view_join(group, prefix, given['on'], columns, false)) -%}
    {%- endfor -%}
    {%- set names = joins | map(attribute='name') | list -%}
    {%- for join in joins -%}
        {%- if names.count(join['name']) > 1 -%}
            {{ feature_store._bad_view(node, 'training_set', 'it joins ' ~ join['name'] ~ ' twice; give one a prefix') }}
        {%- endif -%}
        {%- do feature_store._check_join_keys(node, join, types) -%}
        {%- do join.update({'missing': (meta.get('missing') or {}).get(join['name']) or 'null'}) -%}
    {%- endfor -%}
    {{ return(joins) }}
{% endmacro %}

{% macro _view_join(group, prefix, on, columns, is_spine) %}
    {%- set name = feature_store.registry_name(group) -%}
    {{ return({'name': prefix ~ name, 'group': name, 'node': group, 'on': on, 'columns': columns, 'is_spine': is_spine}) }}
{% endmacro %}

{#- dbt has settled which version a ref without one means. -#}
{% macro _group_of_join(node, rows, given) %}
    {%- for id in rows.depends_on.nodes if id in graph.nodes and graph.nodes[id].name == given['group'] -%}
        {%- set group = graph.nodes[id] -%}
        {%- set is_version = not given.get('version') or given['version'] | string == group.version | string -%}
        {%- if is_version and group.config.meta.get('feature_group') -%} {{ return(group) }} {%- endif -%}
    {%- endfor -%}
    {{ feature_store._bad_view(node, 'training_set', given['group'] ~ ', which it joins, is not a feature group') }}
{% endmacro %}

{% macro _check_join_keys(node, join, types) %}
    {%- set entity = join['node'].config.meta['feature_group'].get('entity') or [] -%}
    {%- if join['on'].keys() | sort != entity | sort -%}
        {{ feature_store._bad_view(
            node, 'training_set', 'it joins ' ~ join['group'] ~ ' on ' ~ (join['on'].keys() | join(', ') or 'nothing')
            ~ ', and a row of it is found by ' ~ entity | join(', ')
        ) }}
    {%- endif -%}
    {%- for column in entity -%}
        {%- set key = join['on'][column] -%}
        {%- set type = feature_store.published_type(join['node'].columns.get(column, {}).get('data_type')) -%}
        {%- if types.get(key) != type -%}
            {{ feature_store._bad_view(
                node, 'training_set',
                key ~ ' is ' ~ types.get(key) ~ ', and ' ~ column ~ ' of ' ~ join['group'] ~ ', which it is joined with, ' ~ type
            ) }}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{#- Name of the join, and of its column, from which a feature comes when a vector is made; none for one that only a
    request can bring. -#}
{% macro _online_source(name, joins) %}
    {%- for join in joins if name in join['columns'] -%}
        {%- set column = join['columns'][name] -%}
        {%- set group = join['node'].config.meta['feature_group'] -%}
        {%- set declared = join['node'].columns.get(column) -%}
        {%- set is_key = column in join['on'] or column == group.get('available_at', 'available_at') -%}
        {%- if group.get('online') and declared and not is_key -%}
            {%- set meta = declared.get('config', {}).get('meta') or declared.get('meta') or {} -%}
            {%- if meta.get('online') is not false -%} {{ return([join['name'], column]) }} {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return([none, none]) }}
{% endmacro %}

{% macro _check_missing(node, meta, joins, features) %}
    {%- set names = joins | map(attribute='name') | list -%}
    {%- for name, rule in (meta.get('missing') or {}).items() -%}
        {%- if name not in names -%}
            {{ feature_store._bad_view(node, 'missing', name ~ ' is none of ' ~ names | join(', ')) }}
        {#- An unquoted null is YAML's own. -#}
        {%- elif rule not in [none, 'null', 'impute', 'error'] -%}
            {{ feature_store._bad_view(node, 'missing', rule ~ ' of ' ~ name ~ ' is none of null, impute, error') }}
        {%- endif -%}
        {%- set own = features | selectattr('join', 'equalto', name) | list -%}
        {%- if not own -%}
            {{ feature_store._bad_view(node, 'missing', name ~ ' has a rule, and no feature that comes online from it') }}
        {%- endif -%}
        {%- for feature in own if rule == 'impute' -%}
            {%- set transforms = feature['steps'] | map(attribute='transform') | list -%}
            {%- if 'impute' not in transforms and 'one_hot_encode' not in transforms -%}
                {{ feature_store._bad_view(node, 'missing', name ~ ' is impute, and no transform fills ' ~ feature['name']) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
{% endmacro %}
