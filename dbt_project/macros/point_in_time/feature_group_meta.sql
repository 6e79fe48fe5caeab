{% macro feature_group_meta(name) %}
    {%- if not execute -%} {{ return({}) }} {%- endif -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == name -%}
        {%- if node.config.meta.get('feature_group') -%} {{ return(node.config.meta['feature_group']) }} {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error('point_in_time_join: ' ~ name ~ ' is no feature group') }}
{% endmacro %}
