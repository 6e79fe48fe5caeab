{#- The globs themselves are kept where nothing is skipped, so that files added later are read. -#}
{% macro input_relation(var_name, sample, narrowed=false) %}
    {%- set input = feature_store.input_files(var_name) -%}
    {%- if input is none -%} {{ return(sample) }} {%- endif -%}
    {{ return(feature_store.read_files(input.paths, input.files or input.paths, var_name, narrowed)) }}
{% endmacro %}
