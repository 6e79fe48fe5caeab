{#- The one reading of a view's meta in SQL: which rows, which columns, which steps. -#}
{% macro feature_view_definition(view) %}
    {%- set node = feature_store._view_node(view) -%}
    {%- set meta = node.config.meta['feature_view'] -%}
    {%- set rows = feature_store._training_set_of(node, meta) -%}
    {%- set join = rows.config.meta.get('point_in_time') -%}
    {%- if not join -%}
        {{ feature_store._bad_view(node, 'training_set', meta['training_set'] ~ ' is not built with point_in_time_join') }}
    {%- endif -%}
    {%- set until = meta.get('train_until') | string -%}
    {%- if not modules.re.match('^\\d{4}-\\d\\d-\\d\\d([ T]\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,6})?)?)?$', until) -%}
        {{ feature_store._bad_view(node, 'train_until', until ~ ' is no UTC date or time; write 2024-02-15') }}
    {%- endif -%}
    {%- set keys = feature_store._view_keys(rows, join) -%}
    {%- set given = feature_store._view_features(meta, rows, join, keys) -%}
    {%- for name in given -%}
        {%- if name not in rows.columns -%}
            {{ feature_store._bad_view(node, 'features', name ~ ' is not a column of ' ~ rows.name) }}
        {%- elif name | lower in (keys + [join['time'], meta['label'], 'split']) | map('lower') | list -%}
            {{ feature_store._bad_view(node, 'features', name ~ ' is a key, the time, the label or the split') }}
        {%- endif -%}
    {%- endfor -%}
    {%- set chains = {} -%}
    {%- for step in meta.get('transforms') or [] -%}
        {%- if step.get('column') not in given -%}
            {{ feature_store._bad_view(node, 'transforms', step.get('type') ~ ' of ' ~ step.get('column') ~ ': no such feature; there are ' ~ given | join(', ')) }}
        {%- endif -%}
        {%- do chains.setdefault(step['column'], []).append(step) -%}
    {%- endfor -%}
    {%- set features = [] -%}
    {%- for name in given -%}
        {%- set type = rows.columns[name]['data_type'] -%}
        {%- set steps = feature_store._typed_steps(node, name, type, chains.get(name, [])) -%}
        {%- do features.append({'position': loop.index, 'name': name, 'type': type, 'steps': steps}) -%}
    {%- endfor -%}
    {{ return({
        'name': view, 'training_set': rows.name, 'rows': rows.relation_name, 'time': join['time'],
        'label': meta['label'], 'train_until': "cast('" ~ until ~ "' as timestamp)", 'keys': keys, 'features': features,
    }) }}
{% endmacro %}

{% macro _view_node(view) %}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == view -%}
        {%- if node.config.meta.get('feature_view') -%} {{ return(node) }} {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error('feature view ' ~ view ~ ': no model of this name has meta.feature_view') }}
{% endmacro %}

{% macro _bad_view(node, key, problem) %}
    {{ exceptions.raise_compiler_error(
        node.original_file_path ~ ': model ' ~ node.name ~ ': feature_view.' ~ key ~ ': ' ~ problem
    ) }}
{% endmacro %}

{% macro _training_set_of(node, meta) %}
    {%- for id in node.depends_on.nodes if id in graph.nodes -%}
        {%- if graph.nodes[id].name == meta.get('training_set') -%} {{ return(graph.nodes[id]) }} {%- endif -%}
    {%- endfor -%}
    {{ feature_store._bad_view(node, 'training_set', meta.get('training_set') ~ ' is not a model this one refs') }}
{% endmacro %}

{#- Columns of the spine by which a group is found. -#}
{% macro _view_keys(rows, join) %}
    {%- set wanted = [] -%}
    {%- for group in join['groups'] -%} {%- do wanted.extend(group['on'].values()) -%} {%- endfor -%}
    {%- for id in rows.depends_on.nodes if id in graph.nodes and graph.nodes[id].name == rows.config.meta['training_set']['labels'] -%}
        {%- do wanted.extend((graph.nodes[id].config.meta.get('feature_group') or {}).get('entity') or []) -%}
    {%- endfor -%}
    {{ return(join['columns'] | select('in', wanted) | list) }}
{% endmacro %}

{#- Those named, else all that say something: not keys, label and times of the join. -#}
{% macro _view_features(meta, rows, join, keys) %}
    {%- if meta.get('features') -%} {{ return(meta['features']) }} {%- endif -%}
    {%- set names = join['columns'] | reject('in', keys + [join['time'], meta['label']]) | list -%}
    {%- for group in join['groups'] -%}
        {%- set about = feature_store.feature_group_meta(group['group']) -%}
        {%- set times = [about.get('available_at', 'available_at'), about.get('partition', 'day')] -%}
        {%- for column in group['columns'] if column not in times -%}
            {%- do names.append(group.get('prefix', '') ~ column) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}

{#- Each step with the SQL type of what it is given. -#}
{% macro _typed_steps(node, name, type, chain) %}
    {%- set known = feature_store.transforms() -%}
    {%- set at = namespace(type=type) -%}
    {%- set steps = [] -%}
    {%- for step in chain -%}
        {%- set about = known.get(step.get('type')) -%}
        {%- set where = step.get('type') ~ ' of ' ~ name ~ ': ' -%}
        {%- if about is none -%}
            {{ feature_store._bad_view(node, 'transforms', where ~ 'unknown type; known: ' ~ known.keys() | join(', ')) }}
        {%- elif at.type is none -%}
            {{ feature_store._bad_view(node, 'transforms', where ~ 'nothing can follow one_hot_encode') }}
        {%- endif -%}
        {%- set problem = feature_store._option_problem(step, about['options']) -%}
        {%- if problem -%} {{ feature_store._bad_view(node, 'transforms', where ~ problem) }} {%- endif -%}
        {%- set kind = about['takes'] -%}
        {%- if kind == 'any' -%}
            {%- set kind = 'category' if at.type | lower in ['varchar', 'string', 'text'] else 'number' -%}
        {%- endif -%}
        {%- if feature_store.read_as('x', at.type, kind) is none -%}
            {{ feature_store._bad_view(node, 'transforms', where ~ 'a ' ~ kind ~ ' is needed, and the column is ' ~ at.type) }}
        {%- endif -%}
        {#- Between steps only whole numbers have to be read; the first step is given what was read already. -#}
        {%- set given = at.type if steps else none -%}
        {%- do steps.append({'transform': step['type'], 'options': step, 'given': given, 'kind': kind}) -%}
        {%- set at.type = ('varchar' if kind == 'category' else 'double') if about['gives'] == 'same' else about['gives'] -%}
    {%- endfor -%}
    {{ return(steps) }}
{% endmacro %}

{#- What would make other SQL than was meant; the materializer looks closer. -#}
{% macro _option_problem(step, known) %}
    {%- for name in step if name not in known + ['type', 'column'] -%}
        {{ return('unknown option ' ~ name ~ '; known: ' ~ (known | join(', ') or 'none')) }}
    {%- endfor -%}
    {%- if step['type'] == 'bucketize' and not step.get('boundaries') -%} {{ return('needs boundaries') }}
    {%- elif step['type'] == 'clip' and step.get('min') is none and step.get('max') is none -%}
        {{ return('needs min, max or both') }}
    {%- elif step['type'] == 'impute' -%}
        {%- set constant = step.get('with') == 'constant' -%}
        {%- if step.get('with') not in ['mean', 'median', 'constant'] or constant != (step.get('value') is not none) -%}
            {{ return('with is mean, median or constant, and constant needs value') }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
