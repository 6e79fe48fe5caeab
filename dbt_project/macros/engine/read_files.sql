{#- Text, because a guessed type would turn the id 007 into 7. -#}
{% macro read_files(paths, known, var_name, narrowed=false) %}{{ return(adapter.dispatch('read_files', 'feature_store')(paths, known, var_name, narrowed)) }}{% endmacro %}

{% macro duckdb__read_files(paths, known, var_name, narrowed=false) %}
    {%- set formats = [] -%}
    {%- for file in known -%}
        {%- set format = 'parquet' if modules.re.search('\\.(parquet|parq|pq)$', file)
            else 'csv' if modules.re.search('\\.(csv|tsv)(\\.gz|\\.zst)?$', file) else none -%}
        {%- if format is none or (formats and format not in formats) -%}
            {{ exceptions.raise_compiler_error(
                var_name ~ ": " ~ file
                ~ (" is neither Parquet (.parquet) nor CSV (.csv)" if format is none
                   else " is not of the same format as the files before it")
            ) }}
        {%- endif -%}
        {%- do formats.append(format) if format not in formats -%}
    {%- endfor -%}
    {%- set list = feature_store._list_of(paths) -%}
    {%- if 'csv' in formats -%}
        {{ return("read_csv(" ~ list ~ ", header = true, all_varchar = true, nullstr = '')") }}
    {%- elif narrowed -%}
        {#- A variable lives as long as a connection: no test and no other model sees what one build left out. -#}
        {{ return("read_parquet(coalesce(getvariable('" ~ feature_store._narrow_to(paths) ~ "'), " ~ list ~ "))") }}
    {%- else -%}
        {{ return("read_parquet(" ~ list ~ ")") }}
    {%- endif -%}
{% endmacro %}

{#- The variable that narrows a view over these paths. A view over others does not hear of it. -#}
{% macro _narrow_to(paths) %}{{ return('narrow_' ~ local_md5(paths | join('\n'))) }}{% endmacro %}

{% macro _list_of(paths) %}
    {%- set quoted = [] -%}
    {%- for path in paths -%} {%- do quoted.append("'" ~ path | replace("'", "''") ~ "'") -%} {%- endfor -%}
    {{ return('[' ~ quoted | join(', ') ~ ']') }}
{% endmacro %}

{#- The files a path or glob names, in order. -#}
{% macro _files(path) %}{{ return(adapter.dispatch('_files', 'feature_store')(path)) }}{% endmacro %}

{% macro duckdb___files(path) %}
    {%- set found = run_query("select file from glob('" ~ path | replace("'", "''") ~ "') order by file") -%}
    {{ return(found.columns[0].values() | list) }}
{% endmacro %}
