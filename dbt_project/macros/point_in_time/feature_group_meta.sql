{% macro feature_group_meta(name, version=none) %}
    {%- if not execute -%} {{ return({}) }} {%- endif -%}
    {%- set group = graph.nodes.get(feature_store._group_id(name, version)) -%}
    {%- set meta = group.config.meta.get('feature_group') if group else none -%}
    {%- if not meta -%}
        {{ exceptions.raise_compiler_error('point_in_time_join: ' ~ name ~ ' is not a feature group') }}
    {%- endif -%}
    {{ return(meta) }}
{% endmacro %}

{#- dbt's id of a group, as ref finds it: without a version the latest one. -#}
{% macro _group_id(name, version) %}
    {#- Most often it is a model of this project; a version, or one of a package, is looked for. -#}
    {%- set own = feature_store.model_id(name) -%}
    {#- A unit test has no graph. -#}
    {%- set nodes = graph.get('nodes', {}) if execute else {} -%}
    {%- if own not in nodes -%}
        {%- for node in nodes.values() if node.resource_type == 'model' and node.name == name -%}
            {%- if node.version | string == (version or node.latest_version) | string -%} {{ return(node.unique_id) }} {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(own) }}
{% endmacro %}
