{#- The files are looked up now, so that a missing one is an error before anything is built. A killed writer
    leaves `tmp_*` files behind. -#}
{% macro input_files(var_name) %}
    {%- set given = var(var_name, none) -%}
    {%- if given is none -%} {{ return(none) }} {%- endif -%}
    {%- set paths = [given] if given is string else given -%}
    {%- set files = [] -%}
    {%- set skipped = [] -%}
    {%- if execute -%}
        {%- for path in paths -%}
            {%- set found = feature_store._files(path) -%}
            {%- if not found -%}
                {{ exceptions.raise_compiler_error(
                    var_name ~ ": no file matches " ~ path
                    ~ "; give a Parquet or CSV file, a list or a glob, e.g. --vars '{"
                    ~ var_name ~ ": \"data/*.parquet\"}'"
                ) }}
            {%- endif -%}
            {%- for file in found -%}
                {%- if file.split('/')[-1].startswith('tmp_') -%}
                    {%- do skipped.append(file) -%}
                {%- else -%}
                    {%- do files.append(file) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- if not files -%}
            {{ exceptions.raise_compiler_error(
                var_name ~ ": only unfinished files (tmp_*) match " ~ paths | join(', ')
            ) }}
        {%- endif -%}
    {%- endif -%}
    {{ return({'paths': files if skipped else paths, 'files': files}) }}
{% endmacro %}
