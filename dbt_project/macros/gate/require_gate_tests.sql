{#- At the start of a command, so that a group without its gate tests is an error before anything is built, with
    the YAML to paste. Only the presence of the tests is checked here, not what they prove. -#}
{% macro require_gate_tests() %}
    {%- set gate = feature_store._gate_tests() -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- set group = node.config.meta.get('feature_group') -%}
        {%- set required = {} -%}
        {%- if group is mapping -%}
            {%- set entity = '[' ~ (group.get('entity') or []) | join(', ') ~ ']' -%}
            {%- do required.update({
                'unique_snapshot': ['is_unique', '{entity: ' ~ entity ~ '}'],
                'rows_are_known': ['rows_are_known', none],
                'is_as_built': ['is_as_built', none],
                'knows_no_future': ['knows_no_future', '{entity: ' ~ entity ~ ', inputs: {'
                    ~ feature_store._inputs_to_name(node) | join(', ') ~ '}}'],
            }) -%}
        {%- elif node.config.meta.get('training_set') is mapping -%}
            {%- set labels = node.config.meta['training_set'].get('labels') -%}
            {%- do required.update({
                'conserves': ['conserves_' ~ labels, '{columns: [<columns of the labels>], of: ref(' ~ "'" ~ labels ~ "')}"],
            }) -%}
        {%- elif node.config.meta.get('feature_view') is mapping -%}
            {%- do feature_store._require_of_view(node, gate) -%}
        {%- endif -%}
        {%- if required -%} {%- do feature_store._require(node, required, gate.get(node.unique_id, [])) -%} {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{#- The view and the model of its parameters are published by one verdict each. -#}
{% macro _require_of_view(node, gate) %}
    {%- set rows = node.config.meta['feature_view'].get('training_set') -%}
    {%- for id in node.depends_on.nodes if id in graph.nodes -%}
        {%- set other = graph.nodes[id] -%}
        {%- set required = {} -%}
        {%- if other.name == rows -%}
            {%- do feature_store._require(node, {
                'conserves': ['conserves_' ~ rows, '{columns: [<keys, time and label>], of: ref(' ~ "'" ~ rows ~ "')}"],
            }, gate.get(node.unique_id, [])) -%}
        {%- else -%}
            {%- do feature_store._require(other, {
                'fitted_on_training_rows': ['fitted_on_training_rows', '{view: ' ~ node.name ~ '}'],
            }, gate.get(id, [])) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{#- Read once: a search for each model would visit every test for every model. -#}
{% macro _gate_tests() %}
    {%- set found = {} -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' and 'gate' in test.tags -%}
        {#- A test that is no generic one is an oracle, as equals_oracle is, which shows more than knows_no_future does. -#}
        {%- set kind = test.test_metadata.name if test.test_metadata else 'equals_oracle' -%}
        {%- set kind = 'knows_no_future' if kind == 'equals_oracle' else kind -%}
        {%- for id in test.depends_on.nodes -%} {%- do found.setdefault(id, []).append(kind) -%} {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{% macro _require(node, required, there) %}
    {%- set yaml = [] -%}
    {%- for kind, parts in required.items() if kind not in there -%}
        {%- do yaml.append(
            '      - feature_store.' ~ kind ~ ':\n          name: ' ~ node.name ~ '_' ~ parts[0]
            ~ ('\n          arguments: ' ~ parts[1] if parts[1] else '') ~ '\n          config: {tags: [gate]}'
        ) -%}
    {%- endfor -%}
    {%- if yaml -%}
        {{ exceptions.raise_compiler_error(
            node.original_file_path ~ ': model ' ~ node.name ~ ': its gate lacks tests; add to the model:\n'
            ~ '    data_tests:\n' ~ yaml | join('\n')
        ) }}
    {%- endif -%}
{% endmacro %}

{% macro _inputs_to_name(node) %}
    {%- set named = [] -%}
    {%- for name in feature_store._short_names(node.unique_id).split(', ') if name -%}
        {%- do named.append(name ~ ': <its time column>') -%}
    {%- endfor -%}
    {{ return(named) }}
{% endmacro %}
