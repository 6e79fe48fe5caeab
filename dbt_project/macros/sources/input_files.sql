{#- The files of an input, which are looked up now, so that a missing one is an error before anything is built. -#}
{% macro input_files(var_name) %}
    {%- set given = var(var_name, none) or 'sample' -%}
    {%- if given in ['sample', 'none'] -%} {{ return(none) }} {%- endif -%}
    {%- set options = given if given is mapping else {'path': given} -%}
    {%- set unknown = options.keys() | reject('in', ['path', 'delimiter', 'quote']) | list -%}
    {%- if unknown or not options.get('path') -%}
        {{ exceptions.raise_compiler_error(
            var_name ~ ': ' ~ (unknown | join(', ') ~ ' is unknown' if unknown else 'path is missing')
            ~ '; write a path, a list of paths, or {path: ..., delimiter: ";", quote: "\'"}'
        ) }}
    {%- endif -%}
    {%- set paths = [options['path']] if options['path'] is string else options['path'] -%}
    {%- set files = [] -%}
    {%- set hidden = [] -%}
    {%- set patterns = [] -%}
    {%- for path in paths if execute -%}
        {%- set found = feature_store.list_files(path) -%}
        {%- if not found['files'] -%}
            {{ exceptions.raise_compiler_error(
                var_name ~ ': no file matches ' ~ path
                ~ (' but those that are hidden or unfinished, such as ' ~ found['hidden'][0] if found['hidden'])
                ~ "; write a file, a folder, a glob or a list of them, e.g. --vars '{" ~ var_name ~ ': "data/*.parquet"}\''
            ) }}
        {%- endif -%}
        {%- do files.extend(found['files']) -%}
        {%- do hidden.extend(found['hidden']) -%}
        {%- do patterns.append(found['pattern']) -%}
    {%- endfor -%}
    {%- set once = feature_store.each_file_once(files) -%}
    {{ return({
        'var_name': var_name,
        'files': once,
        'patterns': patterns if once == files and not hidden else none,
        'delimiter': options.get('delimiter'),
        'quote': options.get('quote', '"'),
    }) }}
{% endmacro %}
