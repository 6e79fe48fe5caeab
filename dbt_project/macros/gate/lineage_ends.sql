{#- As materializer/registry/lineage.py has it: sources, seeds, and what else has no parents; a snapshot, which keeps rows
    that its parents do not have any more; and a model with `read_input`, whose sample is a seed. -#}
{% macro lineage_ends(unique_id) %}
    {%- set seen, ends = [], [] -%}
    {%- do feature_store._walk_up(unique_id, seen) -%}
    {%- for id in seen if feature_store._is_end(id) -%} {%- do ends.append(id) -%} {%- endfor -%}
    {{ return(ends) }}
{% endmacro %}

{#- Append to *seen* every ancestor down to the ends, each once. -#}
{% macro _walk_up(unique_id, seen) %}
    {%- for id in feature_store._parents(unique_id) if id not in seen -%}
        {%- do seen.append(id) -%}
        {%- if not feature_store._is_end(id) -%} {%- do feature_store._walk_up(id, seen) -%} {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{% macro _parents(unique_id) %}
    {%- set found = [] -%}
    {%- for id in feature_store._node(unique_id).get('depends_on', {}).get('nodes', [])
        if feature_store._node(id).get('source_name') != 'records' and id not in found -%}
        {%- do found.append(id) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{% macro _is_end(unique_id) %}
    {%- set node = feature_store._node(unique_id) -%}
    {%- for key in node.config.meta or {} if key.startswith('input ') -%} {{ return(true) }} {%- endfor -%}
    {{ return(node.resource_type | string == 'snapshot' or not feature_store._parents(unique_id)) }}
{% endmacro %}

{% macro _node(unique_id) %}{{ return(graph.nodes.get(unique_id) or graph.sources[unique_id]) }}{% endmacro %}

{#- What a node may be called; the last name is nobody else's. -#}
{% macro _names_of(unique_id) %}
    {%- set node = feature_store._node(unique_id) -%}
    {%- set whole = node.source_name if node.source_name else node.package_name -%}
    {{ return([node.name, whole ~ '.' ~ node.name] + ([node.name ~ '.v' ~ node.version] if node.version else [])) }}
{% endmacro %}

{#- The names that tell some ends from the others of a model, each as short as it can be. -#}
{% macro _short_names(unique_id, ids=none) %}
    {%- set ends = feature_store.lineage_ends(unique_id) -%}
    {%- set names, told = [], [] -%}
    {%- for id in ends -%} {%- do names.append(feature_store._names_of(id)[0]) -%} {%- endfor -%}
    {%- for id in ends if ids is none or id in ids -%}
        {%- set each = feature_store._names_of(id) -%}
        {%- do told.append(each[0] if names.count(each[0]) == 1 else each[-1]) -%}
    {%- endfor -%}
    {{ return(told | sort | join(', ')) }}
{% endmacro %}
