{#- Here, where every build passes: a forgotten var would replace what was built from files by the sample. -#}
{% macro check_inputs() %}
    {%- set inputs = feature_store._inputs() -%}
    {%- set before = feature_store._recorded_inputs() -%}
    {%- set named = [] -%}
    {%- for name, value in inputs.items() if value is not none -%} {%- do named.append(name) -%} {%- endfor -%}
    {%- for name, value in inputs.items() -%}
        {%- set last = before.get(name) or 'sample' -%}
        {%- if value is none and last != 'sample' -%}
            {{ exceptions.raise_compiler_error(
                name ~ ' is not set, and the last build read ' ~ feature_store._yaml(last) ~ '; add --vars '
                ~ feature_store._shell('{' ~ name ~ ': ' ~ feature_store._yaml(last) ~ '}')
                ~ ", or, to replace that by the sample, --vars '{" ~ name ~ ": sample}'"
            ) }}
        {%- elif value is none and named -%}
            {{ exceptions.raise_compiler_error(
                name ~ ' is not set, and ' ~ named[0] ~ " is; name your files, or add --vars '{" ~ name ~ ": none}' to read none"
                ~ " (or " ~ name ~ ": sample to mix them with the sample)"
            ) }}
        {%- elif value is none and not env_var('FEATURE_STORE_NOW', '') | trim -%}
            {{ exceptions.raise_compiler_error(
                name ~ ' is not set; name your files: --vars ' ~ "'{" ~ name ~ ': "data/*.parquet"}' ~ "'"
                ~ ', or in dbt_project.yml; to try the sample: export FEATURE_STORE_NOW=2024-03-31T00:00:00Z'
            ) }}
        {%- elif name in before and (value or 'sample') != last -%}
            {%- do log(
                name ~ ': ' ~ feature_store._yaml(value or 'sample') ~ ', where the last build read ' ~ feature_store._yaml(last),
                info=true
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{#- Every var that names an input of a model, and its value; none when it is not set. -#}
{% macro _inputs() %}
    {%- set inputs = {} -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- for key, value in node.config.meta.items() if key.startswith('input ') -%}
            {%- do inputs.update({key[6:]: value}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(inputs) }}
{% endmacro %}

{% macro _recorded_inputs() %}
    {%- set found = run_query(
        'select vars from ' ~ feature_store.record('build_ledger') ~ ' order by "sequence" desc limit 1'
    ).rows -%}
    {{ return(fromjson(found[0][0]).get('inputs', {}) if found else {}) }}
{% endmacro %}
