{#- At the start of a command, and of all models: else the first publish would refuse the first column. -#}
{% macro require_types() %}
    {%- set problems = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- if node.config.meta.get('feature_group') is mapping or node.config.meta.get('training_set') is mapping -%}
            {%- for column in node.columns.values() if not feature_store.published_type(column.data_type) -%}
                {%- do problems.append(
                    (node.patch_path or node.original_file_path).split('://')[-1] ~ ': model ' ~ node.name ~ ': ' ~ column.name
                    ~ (' is ' ~ column.data_type if column.data_type else ' has no data_type')
                ) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error(
            problems | join('\n') ~ '\nThese have no published form; cast them in the model to one of: '
            ~ feature_store._published_types().keys() | join(', ') ~ ', decimal(p,s), or an array of one of them'
        ) }}
    {%- endif -%}
{% endmacro %}
