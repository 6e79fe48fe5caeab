{% macro list_files(path) %}{{ return(adapter.dispatch('list_files', 'feature_store')(path)) }}{% endmacro %}

{#- Hidden files are those that Spark and Hive skip: a file or folder whose name begins with a dot, or with an underscore
    unless it is a partition's, `_a=1`; and files that their writers have not finished. What the user wrote out is never
    hidden, so only what a pattern or a folder found is checked. -#}
{% macro duckdb__list_files(path) %}
    {%- set folder = feature_store._plain_path(path.rstrip('/') ~ '/') -%}
    {%- set above = feature_store._plain_path(modules.re.match('([^*?\\[]*/)?', path).group(0)) -%}
    {%- set hidden = '(^|/)([.]|_[^/=]*(/|$)|tmp_[^/]*$)|[.]_COPYING_$' -%}
    {#- A file may have a name that would be a pattern. -#}
    {%- for pattern, named in [
        (feature_store._escaped(path), path),
        (path, above),
        (feature_store._escaped(folder) ~ '**', folder),
        (folder ~ '**', above),
    ] -%}
        {%- set rows = run_query(
            'select file, regexp_matches(substr(file, ' ~ (named | length + 1) ~ "), '" ~ hidden ~ "') from glob("
            ~ feature_store.text_literal(pattern) ~ ') order by file'
        ).rows -%}
        {%- if rows -%}
            {%- set found = {'pattern': pattern, 'files': [], 'hidden': []} -%}
            {%- for file, is_hidden in rows -%} {%- do found['hidden' if is_hidden else 'files'].append(feature_store._plain_path(file)) -%} {%- endfor -%}
            {{ return(found) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return({'pattern': path, 'files': [], 'hidden': []}) }}
{% endmacro %}

{#- As DuckDB writes the files it found. -#}
{% macro _plain_path(path) %}
    {%- if '://' in path -%} {{ return(path) }} {%- endif -%}
    {{ return(modules.re.sub('^([.]/)+', '', modules.re.sub('/([.]?/)+', '/', path))) }}
{% endmacro %}

{% macro each_file_once(files) %}{{ return(adapter.dispatch('each_file_once', 'feature_store')(files)) }}{% endmacro %}

{#- A relative path and an absolute one are of one file if the one ends with the other, with the same size and time. -#}
{% macro duckdb__each_file_once(files) %}
    {%- set once = files | unique(case_sensitive=true) | list -%}
    {%- set absolute, relative = [], [] -%}
    {%- for file in once if '://' not in file -%} {%- do (absolute if file.startswith('/') else relative).append(file) -%} {%- endfor -%}
    {%- if absolute and relative -%}
        {%- set twice = run_query(
            'select long.filename from read_blob(' ~ feature_store._list_of(absolute) ~ ') as long'
            ~ ' inner join read_blob(' ~ feature_store._list_of(relative) ~ ') as short'
            ~ " on ends_with(long.filename, '/' || short.filename)"
            ~ ' and long.size = short.size and long.last_modified = short.last_modified'
        ).columns[0].values() | list -%}
        {{ return(once | reject('in', twice) | list) }}
    {%- endif -%}
    {{ return(once) }}
{% endmacro %}

{#- A path in which brackets and stars are not taken for a pattern. -#}
{% macro _escaped(path) %}{{ return(modules.re.sub('([*?\\[])', '[\\1]', path)) }}{% endmacro %}

{% macro _list_of(files, are_names=true) %}
    {%- set quoted = [] -%}
    {%- for file in files -%}
        {%- do quoted.append(feature_store.text_literal(feature_store._escaped(file) if are_names else file)) -%}
    {%- endfor -%}
    {{ return('[' ~ quoted | join(', ') ~ ']') }}
{% endmacro %}
