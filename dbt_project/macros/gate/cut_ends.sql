{#- What `inputs` says of each end: the SQL of a time, `always`, or none, where nobody knows. An end under no name is an
    error, for a new input would go unnoticed. -#}
{% macro cut_ends(unique_id, inputs) %}
    {%- set ends = feature_store.lineage_ends(unique_id) -%}
    {%- set told, unproven = {}, [] -%}
    {%- for name, known_at in inputs.items() -%}
        {%- set named = [] -%}
        {%- for id in ends if name in feature_store._names_of(id) -%} {%- do named.append(id) -%} {%- endfor -%}
        {%- if named | length != 1 -%} {%- do feature_store._refuse_input(unique_id, name, named or ends) -%} {%- endif -%}
        {%- do told.update({named[0]: known_at}) -%}
        {%- if known_at is none -%} {%- do unproven.append(name) -%} {%- endif -%}
    {%- endfor -%}
    {%- set lacking = ends | reject('in', told) | list -%}
    {%- if lacking -%}
        {{ exceptions.raise_compiler_error(
            'knows_no_future of ' ~ feature_store._node(unique_id).name ~ ': inputs lacks '
            ~ feature_store._short_names(unique_id, lacking) ~ '; write the SQL of the time from which its rows are '
            ~ 'known; null if they have none; always if they never change'
        ) }}
    {%- endif -%}
    {%- if unproven -%}
        {%- do log(
            feature_store._node(unique_id).name ~ ': no future: not provable for ' ~ unproven | join(', ')
            ~ ', which has no time from which its rows are known', info=true
        ) -%}
    {%- endif -%}
    {{ return(told) }}
{% endmacro %}

{% macro _refuse_input(unique_id, name, ends) %}
    {%- set seen, between = [], [] -%}
    {%- do feature_store._walk_up(unique_id, seen) -%}
    {%- for id in seen if name in feature_store._names_of(id) and not feature_store._is_end(id) -%}
        {%- do between.append(id) -%}
    {%- endfor -%}
    {%- set problem = 'is built from others; it is built again, so name where its rows come from: ' if between
        else 'is the name of several inputs; write one of: ' if ends | length > 1 and name in feature_store._names_of(ends[0])
        else 'is not where its rows come from; these are: ' -%}
    {{ exceptions.raise_compiler_error(
        'knows_no_future of ' ~ feature_store._node(unique_id).name ~ ': ' ~ name ~ ' ' ~ problem
        ~ (feature_store._short_names(between[0]) if between else feature_store._short_names(unique_id, ends))
    ) }}
{% endmacro %}
