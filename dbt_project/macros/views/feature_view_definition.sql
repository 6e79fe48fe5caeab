{#- The one reading of a view's meta: which rows, which groups, which columns, which steps. Its result is recorded with
    the parameters, and the materializer reads it there. So whatever is wrong with a view is reported here. -#}
{% macro feature_view_definition(view) %}
    {%- set node = feature_store._view_node(view) -%}
    {%- set meta = feature_store._view_meta(node) -%}
    {%- set rows = feature_store._view_training_set(node, meta) -%}
    {%- set noted = rows.config.meta['point_in_time'] -%}
    {%- set types = feature_store._training_set_types(node, rows, noted) -%}
    {%- set joins = feature_store._view_joins(node, meta, rows, noted, types) -%}
    {%- set matched = [] -%}
    {%- for join in joins -%} {%- do matched.extend(join['on'].values()) -%} {%- endfor -%}
    {%- set keys = noted['columns'] | select('in', matched) | list -%}
    {%- do feature_store._check_label(node, meta, noted, keys) -%}
    {%- set names = feature_store._view_features(meta, noted, joins, keys) -%}
    {%- do feature_store._check_features(node, names, keys + [noted['time'], meta['label'], 'split'], types, rows) -%}
    {%- set chains = feature_store._view_steps(node, meta, names, types) -%}
    {%- set features = [] -%}
    {%- for name in names -%}
        {%- set source = feature_store._online_source(name, joins) -%}
        {%- do features.append({
            'position': loop.index, 'name': name, 'type': types[name], 'join': source[0], 'column': source[1],
            'steps': chains[name],
        }) -%}
    {%- endfor -%}
    {%- do feature_store._check_missing(node, meta, joins, features) -%}
    {%- set until = feature_store._train_until(node, meta) -%}
    {{ return({
        'name': view, 'meta': meta, 'training_set': rows.name, 'rows': rows.relation_name, 'time': noted['time'],
        'label': meta['label'], 'until': until, 'train_until': "cast('" ~ until ~ "' as timestamp)", 'keys': keys,
        'types': types, 'joins': joins, 'features': features,
        'depth': ([0] + chains.values() | map('length') | list) | max,
    }) }}
{% endmacro %}

{#- SQL of the definition as JSON, for the materializer, which reads it in views/definition.py. -#}
{% macro _recorded_definition(definition) %}
    {%- set declared = feature_store._plain(definition['meta']) -%}
    {%- do declared.pop('owner', none) -%}
    {%- do declared.pop('keep_versions', none) -%}
    {%- do declared.update({'train_until': definition['until']}) -%}
    {%- set keys, features, joins = [], [], [] -%}
    {%- for name in definition['keys'] -%} {%- do keys.append({'name': name, 'type': definition['types'][name]}) -%} {%- endfor -%}
    {%- for feature in definition['features'] -%}
        {%- do features.append({
            'name': feature['name'], 'type': feature['type'], 'join': feature['join'], 'column': feature['column'],
        }) -%}
    {%- endfor -%}
    {#- A group that no feature reads need not be there when a vector is made. -#}
    {%- for join in definition['joins'] if join['name'] in features | map(attribute='join') | list -%}
        {%- do joins.append({
            'name': join['name'], 'group': join['group'], 'on': join['on'], 'missing': join['missing'],
        }) -%}
    {%- endfor -%}
    {{ return(feature_store.as_literal(tojson({
        'declared': declared, 'training_set': definition['training_set'], 'label': definition['label'],
        'train_until': definition['until'], 'keys': keys, 'joins': joins, 'features': features,
    }))) }}
{% endmacro %}

{% macro _bad_view(node, key, problem) %}
    {%- set file = node.patch_path.split('://')[-1] if node.patch_path else node.original_file_path -%}
    {{ exceptions.raise_compiler_error(
        file ~ ': model ' ~ feature_store.registry_name(node) ~ ': feature_view' ~ ('.' ~ key if key else '') ~ ': ' ~ problem
    ) }}
{% endmacro %}

{#- As the registry of the materializer names it: a version of a model has a name of its own. -#}
{% macro registry_name(node) %}
    {{ return(node.name if node.version is none else node.name ~ '_v' ~ node.version | string | replace('.', '_')) }}
{% endmacro %}

{% macro _view_node(view) %}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == view -%}
        {%- if 'feature_view' in node.config.meta -%} {{ return(node) }} {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error('feature view ' ~ view ~ ': no model of this name has meta.feature_view') }}
{% endmacro %}

{#- The keys that only the materializer reads, owner and keep_versions, are checked there. -#}
{% macro _view_meta(node) %}
    {%- set meta = node.config.meta['feature_view'] -%}
    {%- set known = ['training_set', 'label', 'train_until', 'features', 'transforms', 'missing', 'keep_versions', 'owner'] -%}
    {%- if meta is not mapping -%}
        {{ feature_store._bad_view(node, none, 'should be a mapping; known keys: ' ~ known | join(', ')) }}
    {%- endif -%}
    {%- for key in meta if key not in known -%}
        {{ feature_store._bad_view(node, key, 'unknown key; known: ' ~ known | join(', ')) }}
    {%- endfor -%}
    {%- for key in ['training_set', 'label', 'train_until'] if meta.get(key) is none -%}
        {{ feature_store._bad_view(node, key, 'is missing') }}
    {%- endfor -%}
    {%- set features, transforms = meta.get('features'), meta.get('transforms') -%}
    {%- if features is not none and (features is string or features is not sequence or features | reject('string') | list) -%}
        {{ feature_store._bad_view(node, 'features', 'should be a list of columns, not ' ~ features) }}
    {%- elif features is not none and not features -%}
        {{ feature_store._bad_view(node, 'features', 'name at least one, or leave it out for all') }}
    {%- elif transforms and (transforms is string or transforms is not sequence or transforms | reject('mapping') | list) -%}
        {{ feature_store._bad_view(node, 'transforms', 'should be a list such as - {type: scale, column: <name>}, not ' ~ transforms) }}
    {%- elif meta.get('missing') and meta['missing'] is not mapping -%}
        {{ feature_store._bad_view(node, 'missing', 'should be a mapping, not ' ~ meta['missing']) }}
    {%- endif -%}
    {{ return(meta) }}
{% endmacro %}

{% macro _train_until(node, meta) %}
    {#- YAML makes a date of an unquoted one, or a time. -#}
    {%- set given = meta['train_until'] -%}
    {%- set until = given.isoformat() if given.isoformat is defined else given | string -%}
    {%- set time = '([ T]([01]\\d|2[0-3]):[0-5]\\d(:[0-5]\\d(\\.\\d{1,6})?)?)?' -%}
    {%- if not modules.re.match('^\\d{4}-\\d\\d-\\d\\d' ~ time ~ '$', until) or not feature_store._is_date(until[:10]) -%}
        {{ feature_store._bad_view(node, 'train_until', until ~ ' is not a UTC date or time; write 2024-02-15') }}
    {%- endif -%}
    {{ return(until) }}
{% endmacro %}

{% macro _view_training_set(node, meta) %}
    {%- set name = meta['training_set'] -%}
    {%- for id in node.depends_on.nodes if id in graph.nodes and feature_store.registry_name(graph.nodes[id]) == name -%}
        {%- set rows = graph.nodes[id] -%}
        {%- if 'training_set' in rows.config.meta and not rows.config.meta.get('point_in_time') -%}
            {{ feature_store._bad_view(node, 'training_set', name ~ ' is not built with point_in_time_join') }}
        {%- elif 'training_set' in rows.config.meta -%}
            {{ return(rows) }}
        {%- endif -%}
    {%- endfor -%}
    {{ feature_store._bad_view(node, 'training_set', name ~ ' is not a training set this model refs') }}
{% endmacro %}

{#- Published types of its columns; those that the join makes are all declared. -#}
{% macro _training_set_types(node, rows, noted) %}
    {%- set types = {} -%}
    {%- for column in rows.columns.values() -%}
        {%- do types.update({column.name: feature_store.published_type(column.data_type)}) -%}
    {%- endfor -%}
    {%- set made = noted['columns'] | list -%}
    {%- for group in noted['groups'] -%}
        {%- for name in group['columns'] -%} {%- do made.append(group.get('prefix', '') ~ name) -%} {%- endfor -%}
    {%- endfor -%}
    {%- for name in made if not types.get(name) -%}
        {{ feature_store._bad_view(node, 'training_set', rows.name ~ ' declares no column ' ~ name ~ ', which it has') }}
    {%- endfor -%}
    {{ return(types) }}
{% endmacro %}

{% macro _check_label(node, meta, noted, keys) %}
    {%- set label = meta['label'] -%}
    {%- if label not in noted['columns'] -%}
        {{ feature_store._bad_view(node, 'label', label ~ ' is not one of ' ~ noted['columns'] | join(', ')) }}
    {%- elif label in keys + [noted['time']] -%}
        {{ feature_store._bad_view(node, 'label', label ~ ' is a key, or the time') }}
    {%- endif -%}
{% endmacro %}

{#- Those named, else all that are neither keys, label nor times of the join. -#}
{% macro _view_features(meta, noted, joins, keys) %}
    {%- if meta.get('features') -%} {{ return(meta['features']) }} {%- endif -%}
    {%- set names = noted['columns'] | reject('in', keys + [noted['time'], meta['label']]) | list -%}
    {%- for join in joins if not join['is_spine'] -%}
        {%- set group = join['node'].config.meta['feature_group'] -%}
        {%- set times = [group.get('available_at', 'available_at'), group.get('partition', 'day')] -%}
        {%- for name, column in join['columns'].items() if column not in times -%} {%- do names.append(name) -%} {%- endfor -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}

{% macro _check_features(node, names, taken, types, rows) %}
    {%- for name in names -%}
        {%- if not types.get(name) -%}
            {{ feature_store._bad_view(node, 'features', name ~ ' is not a column of ' ~ rows.name) }}
        {%- elif names.count(name) > 1 -%}
            {{ feature_store._bad_view(node, 'features', name ~ ' is named twice') }}
        {#- Names in the warehouse do not differ by case. -#}
        {%- elif name | lower in taken | map('lower') | list -%}
            {{ feature_store._bad_view(node, 'features', name ~ ' is a key, the time, the label or the split') }}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
