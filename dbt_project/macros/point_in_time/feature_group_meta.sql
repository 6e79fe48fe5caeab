{% macro feature_group_meta(name, version=none) %}
    {%- if not execute -%} {{ return({}) }} {%- endif -%}
    {{ return(graph.nodes[feature_store._group_id(name, version)].config.meta['feature_group']) }}
{% endmacro %}

{#- dbt's id of a group, as ref finds it: without a version the latest one. -#}
{% macro _group_id(name, version) %}
    {#- Most often it is a model of this project; a version, or one of a package, is looked for. -#}
    {%- set own = feature_store.model_id(name) -%}
    {%- if not execute or own in graph.nodes and graph.nodes[own].config.meta.get('feature_group') -%} {{ return(own) }} {%- endif -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == name -%}
        {%- set wanted = version or node.latest_version -%}
        {%- if node.config.meta.get('feature_group') and node.version | string == wanted | string -%} {{ return(node.unique_id) }} {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error('point_in_time_join: ' ~ name ~ ' is not a feature group') }}
{% endmacro %}
