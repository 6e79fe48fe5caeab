{#- By what was run: dbt defers a ref whose relation is not there yet, or that a command does not select. -#}
{% macro deferred_inputs(node) %}
    {%- set found = [] -%}
    {%- for id in node.depends_on.nodes if id in graph.nodes -%}
        {%- set other = (graph.nodes[id].get('defer_relation') or {}).get('relation_name') -%}
        {%- if other and other != graph.nodes[id].relation_name and other in (node.compiled_code or '') -%}
            {%- do found.append(other) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
