{#- At the start of a command, and of all models: a key that is misspelt would have the value of one that is left out. -#}
{% macro require_meta() %}
    {%- set problems = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- set place = (node.patch_path or node.original_file_path).split('://')[-1] ~ ': model ' ~ node.name ~ ': ' -%}
        {%- for kind, known in feature_store._meta_keys().items() if kind in node.config.meta -%}
            {%- set given = node.config.meta[kind] -%}
            {%- for key in given if given is mapping and key not in known -%}
                {%- do problems.append(place ~ kind ~ '.' ~ key ~ ': unknown key; known: ' ~ known | join(', ')) -%}
            {%- endfor -%}
            {%- if given is mapping and kind == 'feature_group' and not given.get('entity') -%}
                {%- do problems.append(place ~ kind ~ '.entity: name at least one key column') -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' and 'gate' in test.tags and test.test_metadata -%}
        {%- for key in ['entity', 'columns'] if key in test.test_metadata.kwargs and not test.test_metadata.kwargs[key] -%}
            {%- do problems.append(test.original_file_path ~ ': test ' ~ test.name ~ ': ' ~ key ~ ': name at least one column') -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if problems -%} {{ exceptions.raise_compiler_error(problems | join('\n')) }} {%- endif -%}
{% endmacro %}

{#- The registry of the materializer has the same keys, and a test compares the two. -#}
{% macro _meta_keys() %}
    {{ return({
        'feature_group': [
            'entity', 'available_at', 'event_time', 'availability_lag_hours', 'partition', 'online', 'key_prefix',
            'fresh_hours', 'closing_row', 'ttl_days', 'max_age_hours', 'owner',
        ],
        'training_set': ['labels'],
        'feature_view': [
            'training_set', 'label', 'train_until', 'features', 'transforms', 'missing', 'keep_versions', 'owner',
        ],
    }) }}
{% endmacro %}
