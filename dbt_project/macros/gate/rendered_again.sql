{#- The whole text of a model, whoever asks: as dbt would compile it for a table, though this node may not ref what that
    model refs. Names that the text or its macros use are put in place meanwhile, also for macros that they call. -#}
{% macro rendered_again(unique_id) %}
    {%- set node = graph.nodes[unique_id] -%}
    {%- set given = {} -%}
    {%- if node.package_name != project_name and node.package_name in context -%}
        {%- do given.update(context[node.package_name]) -%}
    {%- endif -%}
    {%- do given.update({
        'model': node,
        'this': feature_store._relation_again(unique_id),
        'ref': feature_store._ref_again,
        'source': feature_store._source_again,
        'is_incremental': feature_store._is_incremental_again,
    }) -%}
    {%- set before, added = {}, [] -%}
    {%- for name in given -%}
        {%- if name in context -%} {%- do before.update({name: context[name]}) -%} {%- else -%} {%- do added.append(name) -%} {%- endif -%}
    {%- endfor -%}
    {%- do context.update(given) -%}
    {%- set text = try_or_compiler_error(
        node.original_file_path ~ ': model ' ~ node.name ~ ' cannot be rendered outside its own build, to build it again; '
        ~ 'is a ref hidden from dbt, or is it no SQL? An oracle can be its gate instead of knows_no_future',
        render, node.raw_code
    ) -%}
    {%- do context.update(before) -%}
    {%- for name in added -%} {%- do context.pop(name) -%} {%- endfor -%}
    {{ return(text) }}
{% endmacro %}

{#- By what dbt found when it parsed, so that names mean the same as there. -#}
{% macro _ref_again() %}
    {%- set name, package = varargs[-1], varargs[0] if varargs | length > 1 else none -%}
    {%- set version = kwargs.get('v', kwargs.get('version')) -%}
    {%- set found = [] -%}
    {%- for id in model.depends_on.nodes if id in graph.nodes -%}
        {%- set node = graph.nodes[id] -%}
        {%- set wanted = node.get('latest_version') if version is none else version -%}
        {%- if node.name == name and package in [none, node.package_name]
            and (not node.get('version') or node.version | string == wanted | string) -%}
            {#- A model of the same package comes first. -#}
            {%- do found.insert(0 if node.package_name == model.package_name else found | length, id) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(feature_store._relation_again(found[0])) }}
{% endmacro %}

{% macro _source_again() %}
    {%- set found = [] -%}
    {%- for id in model.depends_on.nodes if id in graph.sources -%}
        {%- set node = graph.sources[id] -%}
        {%- if [node.source_name, node.name] == varargs | list -%} {%- do found.append(id) -%} {%- endif -%}
    {%- endfor -%}
    {{ return(feature_store._relation_again(found[0])) }}
{% endmacro %}

{% macro _is_incremental_again() %}{{ return(false) }}{% endmacro %}

{#- An ephemeral model has no relation: it is a part of the query that is made. -#}
{% macro _relation_again(unique_id) %}
    {%- set node = feature_store._node(unique_id) -%}
    {%- if feature_store._is_ephemeral(unique_id) -%} {{ return(api.Relation.create(identifier=unique_id)) }} {%- endif -%}
    {{ return(api.Relation.create(
        database=node.database, schema=node.schema, identifier=node.get('identifier') or node.get('alias') or node.name
    )) }}
{% endmacro %}
