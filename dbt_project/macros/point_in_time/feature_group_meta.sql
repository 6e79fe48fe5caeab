{% macro feature_group_meta(name) %}
    {%- if not execute -%} {{ return({}) }} {%- endif -%}
    {#- Most often it is a model of this project; a version, or one of a package, is looked for. -#}
    {%- set own = graph.nodes.get(feature_store.model_id(name)) -%}
    {%- if own and own.config.meta.get('feature_group') -%} {{ return(own.config.meta['feature_group']) }} {%- endif -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == name -%}
        {%- if node.config.meta.get('feature_group') -%} {{ return(node.config.meta['feature_group']) }} {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error('point_in_time_join: ' ~ name ~ ' is not a feature group') }}
{% endmacro %}
