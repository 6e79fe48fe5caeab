{#- The SQL of a model with its ancestors in it, as far as *state* asks for. Of the state, `cuts` has the SQL that an end
    is read by instead of its relation, `whole` is true if every model on the way is built again and not the ephemeral
    ones alone, and `names` and `parts` collect what was built, each once however many read it. -#}
{% macro build_again(text, unique_id, state, is_compiled=false) %}
    {%- set sql = namespace(text=text) -%}
    {%- for id in feature_store._read_by(unique_id, is_compiled) -%}
        {%- set written = feature_store._location(id) if is_compiled else feature_store._relation_again(id) | string -%}
        {%- set pattern = '(?<![\\w".])' ~ modules.re.escape(written) ~ '(?![\\w"])' -%}
        {%- if modules.re.search(pattern, sql.text) -%}
            {%- set name = feature_store._name_again(id, state) | replace('\\', '\\\\') -%}
            {%- set sql.text = modules.re.sub(pattern, name, sql.text) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(sql.text) }}
{% endmacro %}

{#- In the text that dbt compiled, ephemeral parents are text already. -#}
{% macro _read_by(unique_id, is_compiled) %}
    {%- set found = [] -%}
    {%- for id in feature_store._parents(unique_id) -%}
        {%- if is_compiled and feature_store._is_ephemeral(id) -%}
            {%- do found.extend(feature_store._read_by(id, true)) -%}
        {%- else -%}
            {%- do found.append(id) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | unique | list) }}
{% endmacro %}

{% macro _is_ephemeral(unique_id) %}
    {%- set node = feature_store._node(unique_id) -%}
    {{ return(node.resource_type | string == 'model' and node.config.materialized == 'ephemeral') }}
{% endmacro %}

{#- What to read a node by: a part of the query, under dbt's id, or its relation. -#}
{% macro _name_again(unique_id, state) %}
    {%- if unique_id in state.names -%} {{ return(state.names[unique_id]) }} {%- endif -%}
    {%- set is_end = feature_store._is_end(unique_id) -%}
    {%- set cut = state.cuts.get(unique_id) if is_end else none -%}
    {%- set is_text = feature_store._is_ephemeral(unique_id) or (state.whole and not is_end) -%}
    {%- set name = feature_store.quoted(unique_id) if cut or is_text else feature_store._location(unique_id) -%}
    {%- do state.names.update({unique_id: name}) -%}
    {%- if is_text -%}
        {%- set text = feature_store.build_again(feature_store.rendered_again(unique_id), unique_id, state) -%}
        {%- set text = feature_store._with_every_day(text, unique_id, state) -%}
        {%- if cut -%}
            {%- set whole = feature_store.quoted(unique_id ~ ' whole') -%}
            {%- do state.parts.append(whole ~ ' as (' ~ text ~ '\n)') -%}
            {%- set text = cut | replace(feature_store._cut_from(), whole) -%}
        {%- endif -%}
        {%- do state.parts.append(name ~ ' as (' ~ text ~ '\n)') -%}
    {%- elif cut -%}
        {%- do state.parts.append(name ~ ' as (' ~ cut | replace(feature_store._cut_from(), feature_store._location(unique_id)) ~ ')') -%}
    {%- endif -%}
    {{ return(name) }}
{% endmacro %}

{% macro _location(unique_id) %}
    {%- set node = feature_store._node(unique_id) -%}
    {{ return(feature_store.source_location(node) or node.relation_name) }}
{% endmacro %}

{#- Where a cut says that its end is read. -#}
{% macro _cut_from() %}{{ return('<end>') }}{% endmacro %}

{#- A model on the way that is built by day is built for all its days. -#}
{% macro _with_every_day(text, unique_id, state) %}
    {%- set plan = feature_store._relation_again('source.feature_store.records.build_plan') | string -%}
    {%- if plan not in text -%} {{ return(text) }} {%- endif -%}
    {%- set days = feature_store.quoted(unique_id ~ ' days') -%}
    {%- set group = feature_store._node(unique_id).config.meta.get('feature_group') or {} -%}
    {%- do state.parts.append(days ~ ' as (' ~ feature_store._days_to_build(
        unique_id, group.get('available_at') or 'available_at', none
    ) ~ ')') -%}
    {{ return(text | replace(plan, days)) }}
{% endmacro %}

{#- A plan of days that a model has rows of. -#}
{% macro _days_to_build(unique_id, available_at, days) %}
    {%- set relation = feature_store._node(unique_id).relation_name -%}
    {{ return(
        "select distinct '" ~ unique_id ~ "' as model, day, " ~ available_at ~ ' as available_at, true as rebuild, 0 as chunk '
        ~ 'from ' ~ relation ~ (' where day in (' ~ days ~ ')' if days else '')
    ) }}
{% endmacro %}
