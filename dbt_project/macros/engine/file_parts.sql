{% macro file_parts(input, kinds, narrowed=false) %}{{ return(adapter.dispatch('file_parts', 'feature_store')(input, kinds, narrowed)) }}{% endmacro %}

{#- Files that can be read together: those of one format whose columns have the same types. -#}
{% macro duckdb__file_parts(input, kinds, narrowed=false) %}
    {%- set by_format = {} -%}
    {%- for file in input.files -%}
        {%- do by_format.setdefault(feature_store._format_of(file), []).append(file) -%}
    {%- endfor -%}
    {%- set parts = [] -%}
    {%- for format, files in by_format.items() -%}
        {%- if format == 'parquet' -%} {%- do parts.extend(feature_store._parquet_parts(files, kinds)) -%}
        {%- elif format == 'csv' -%} {%- do parts.extend(feature_store._csv_parts(files, input)) -%}
        {%- elif format == 'json' -%} {%- do parts.append(feature_store._json_part(files, kinds)) -%}
        {%- else -%}
            {{ exceptions.raise_compiler_error(
                input.var_name ~ ': ' ~ files[0] ~ ' is neither Parquet (.parquet) nor CSV (.csv, .tsv) nor JSON lines (.jsonl, .ndjson)'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {#- A pattern stays a pattern where it can, so that files that come later are read too. -#}
    {%- set patterns = feature_store._list_of(input.patterns, false) if parts | length == 1 and input.patterns -%}
    {%- set narrow = "getvariable('" ~ feature_store.narrow_name(input) ~ "')" if narrowed and by_format.keys() | list == ['parquet'] -%}
    {%- for part in parts -%}
        {%- set files = patterns or feature_store._list_of(part['files']) -%}
        {%- if narrow -%}
            {#- A variable lives as long as a connection: no test and no other model sees what one build left out. -#}
            {#- Of each part one file is always opened, because a list of none is refused. -#}
            {%- set chosen = narrow if parts | length == 1 else
                'list_distinct(list_prepend(' ~ feature_store.text_literal(feature_store._escaped(part['files'][0])) ~ ', list_intersect(' ~ narrow ~ ', ' ~ files ~ ')))' -%}
            {%- set files = 'case when ' ~ narrow ~ ' is null then ' ~ files ~ ' else ' ~ chosen ~ ' end' -%}
        {%- endif -%}
        {%- do part.update({'relation': part['relation'] | replace('$files', files)}) -%}
    {%- endfor -%}
    {{ return(parts) }}
{% endmacro %}

{#- A file of a writer that gives it no ending, such as `part-00000`, is Parquet. -#}
{% macro _format_of(file) %}
    {%- set name = file.split('/')[-1] | lower -%}
    {%- for format, pattern in {
        'parquet': '[^.]*$|.*[.](parquet|parq|pq)$',
        'csv': '.*[.](csv|tsv)([.]gz|[.]zst)?$',
        'json': '.*[.](jsonl|ndjson|json)([.]gz|[.]zst)?$',
    }.items() -%}
        {%- if modules.re.match(pattern, name) -%} {{ return(format) }} {%- endif -%}
    {%- endfor -%}
{% endmacro %}

{#- Parquet: by the types in their footers, and by the columns that the path gives, as in `day=2024-01-01/`. -#}
{% macro _parquet_parts(files, kinds) %}
    {%- set described = {} -%}
    {%- set parts = {} -%}
    {%- for file, form in feature_store._parquet_forms(files) -%}
        {%- set of_path = none -%}
        {%- if modules.re.search('(^|/)(' ~ kinds.keys() | join('|') ~ ')=', file | lower) -%}
            {%- set of_path = modules.re.findall('([^/=]+)=[^/]*/', file | lower) | join(',') -%}
        {%- endif -%}
        {%- set hive = ', hive_partitioning = ' ~ ('true, hive_types_autocast = false' if of_path else 'false') -%}
        {%- set known = (of_path or '') ~ ':' ~ form -%}
        {%- if known not in described -%}
            {%- do described.update({known: feature_store.column_types('read_parquet(' ~ feature_store._list_of([file]) ~ hive ~ ')', file)}) -%}
        {%- endif -%}
        {%- set types = described[known] -%}
        {%- set read = [of_path] -%}
        {%- for column in kinds -%} {%- do read.append(types.get(column)) -%} {%- endfor -%}
        {%- set part = parts.setdefault(read | string, {'name': file, 'files': [], 'types': types, 'relation': 'read_parquet($files' ~ hive ~ ')'}) -%}
        {%- do part['files'].append(file) -%}
    {%- endfor -%}
    {{ return(parts.values() | list) }}
{% endmacro %}

{#- The columns of each file with their types, as one text. A build remembers them, because to open a file costs the same
    whether or not it is needed. -#}
{% macro _parquet_forms(files) %}
    {%- set forms = {} -%}
    {%- set noted = feature_store.record('input_files') -%}
    {%- if load_relation(noted) is not none -%}
        {%- for file, form in run_query(
            'select known.file, min(known.form) from ' ~ noted ~ ' as known'
            ~ ' inner join read_blob(' ~ feature_store._list_of(files) ~ ') as found on known.file = found.filename'
            ~ ' and known.size = found.size and known.modified = cast(found.last_modified as timestamp)'
            ~ ' where known.form is not null and not ' ~ feature_store.is_young('known') ~ ' group by 1'
        ).rows -%}
            {%- do forms.update({file: form}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set unknown = files | reject('in', forms) | list -%}
    {%- if unknown -%}
        {%- for file, form in run_query(feature_store._forms_in_footers(feature_store._list_of(unknown))).rows -%}
            {%- do forms.update({file: form}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set ordered = [] -%}
    {%- for file in files -%} {%- do ordered.append((file, forms[file])) -%} {%- endfor -%}
    {{ return(ordered) }}
{% endmacro %}

{% macro _forms_in_footers(files) %}
    {{ return(
        "select file_name as file, string_agg(concat_ws(' ', name, duckdb_type, num_children), ',' order by column_id) as form"
        ~ ' from parquet_schema(' ~ files ~ ') group by 1'
    ) }}
{% endmacro %}

{#- CSV as RFC 4180 has it: what does not fit is an error with its line. A dialect guessed from the first lines would
    lose rows further down. Every value is text, because a guessed type would turn the id 007 into 7. -#}
{% macro _csv_parts(files, input) %}
    {%- set parts = {} -%}
    {%- for file, header in feature_store._header_lines(files) -%}
        {%- set delimiter = input.delimiter or ('\t' if modules.re.search('[.]tsv([.]gz|[.]zst)?$', file | lower) else ',') -%}
        {%- set columns = feature_store._columns_of_header(header, delimiter, input.quote) -%}
        {%- set types = {} -%}
        {%- set typed = [] -%}
        {%- for column in columns -%}
            {#- Which of two columns of one name is meant is not known; then neither can be read. -#}
            {%- set is_known = column and columns.count(column) == 1 -%}
            {%- do types.update({column: 'VARCHAR'}) if is_known -%}
            {%- do typed.append(feature_store.text_literal(column if is_known else 'column ' ~ loop.index ~ ' of ' ~ column) ~ ": 'VARCHAR'") -%}
        {%- endfor -%}
        {%- set part = parts.setdefault(header ~ delimiter, {
            'name': file, 'files': [], 'types': types or {'': 'VARCHAR'},
            'relation': 'read_csv($files, columns = {' ~ typed | join(', ') ~ '}, ' ~ feature_store._dialect(delimiter, input.quote)
                ~ ', header = true, hive_partitioning = false)',
        }) -%}
        {%- do part['files'].append(file) -%}
    {%- endfor -%}
    {{ return(parts.values() | list) }}
{% endmacro %}

{% macro _dialect(delimiter, quote) %}
    {{ return(
        "auto_detect = false, delim = " ~ feature_store.text_literal(delimiter) ~ ", quote = " ~ feature_store.text_literal(quote)
        ~ ", escape = " ~ feature_store.text_literal(quote) ~ ", comment = '', skip = 0, nullstr = '', null_padding = false, "
        ~ 'ignore_errors = false, strict_mode = true, max_line_size = 16777216'
    ) }}
{% endmacro %}

{#- The first line of each file, empty for an empty file. -#}
{% macro _header_lines(files) %}
    {%- set lines = [] -%}
    {%- for batch in files | batch(100) -%}
        {%- set firsts = [] -%}
        {%- for file in batch -%}
            {%- do firsts.append(
                'select ' ~ loop.index ~ ' as n, ' ~ feature_store.text_literal(file) ~ ' as file, (select line from '
                ~ feature_store.lines_of([file]) ~ ' limit 1) as line'
            ) -%}
        {%- endfor -%}
        {%- for n, file, line in run_query(firsts | join(' union all ') ~ ' order by n').rows -%} {%- do lines.append((file, line or '')) -%} {%- endfor -%}
    {%- endfor -%}
    {{ return(lines) }}
{% endmacro %}

{#- Text files line by line, whatever a line holds. -#}
{% macro lines_of(files) %}
    {{ return(
        'read_csv(' ~ feature_store._list_of(files) ~ ", columns = {'line': 'VARCHAR'}, auto_detect = false, header = false, "
        ~ "delim = '\x01\x02\x03\x04', quote = '', escape = '', comment = '', nullstr = '\x02', strict_mode = false, "
        ~ 'max_line_size = 16777216, hive_partitioning = false)'
    ) }}
{% endmacro %}

{% macro _columns_of_header(header, delimiter, quote) %}
    {%- set columns = [] -%}
    {%- set q, d = modules.re.escape(quote), modules.re.escape(delimiter) -%}
    {%- set field = (q ~ '((?:[^' ~ q ~ ']|' ~ q ~ q ~ ')*)' ~ q if quote else '()(?!)') ~ '|((?:(?!' ~ d ~ ').)*)' -%}
    {%- for quoted, plain in modules.re.findall('(?:^|' ~ d ~ ')(?:' ~ field ~ ')(?=' ~ d ~ '|$)', header) -%}
        {%- do columns.append((quoted | replace(quote ~ quote, quote) if quoted else plain) | trim | lower) -%}
    {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}

{#- JSON lines: one object a line. A number is text as it is written; one with a fraction has no one spelling as an id. -#}
{% macro _json_part(files, kinds) %}
    {%- set of_kind = {
        'text': ['VARCHAR', 'UBIGINT', 'BIGINT'],
        'time': ['VARCHAR'],
        'number': ['VARCHAR', 'UBIGINT', 'BIGINT', 'DOUBLE', 'BOOLEAN'],
    } -%}
    {%- set objects = 'read_ndjson_objects(' ~ feature_store._list_of(files) ~ ', hive_partitioning = false)' -%}
    {%- set present, selected = [], [] -%}
    {%- for column, kind in kinds.items() -%}
        {%- set key = feature_store.text_literal('/' ~ column) -%}
        {%- set types = "'" ~ of_kind[kind] | join("', '") ~ "'" -%}
        {%- do present.append('bool_or(json_exists(json, ' ~ key ~ '))') -%}
        {%- do selected.append(
            'case when json_type(json, ' ~ key ~ ') in (' ~ types ~ ') then json ->> ' ~ key ~ ' end as ' ~ feature_store.quoted(column)
        ) -%}
    {%- endfor -%}
    {%- set found = run_query('select ' ~ present | join(', ') ~ ' from ' ~ objects).rows[0] -%}
    {%- set types = {} -%}
    {%- for column in kinds -%} {%- do types.update({column: 'VARCHAR'}) if found[loop.index0] -%} {%- endfor -%}
    {{ return({
        'name': files[0], 'files': files, 'types': types or {'': 'VARCHAR'},
        'relation': '(select ' ~ selected | join(', ') ~ ' from read_ndjson_objects($files, hive_partitioning = false))',
    }) }}
{% endmacro %}

{#- How many rows the files have, found without the reader that reads them: from the lines of text, of which one that ends
    inside quotes does not end a row. None if all are Parquet, which says itself how many it has. -#}
{% macro rows_in_files(input) %}{{ return(adapter.dispatch('rows_in_files', 'feature_store')(input)) }}{% endmacro %}

{% macro duckdb__rows_in_files(input) %}
    {%- if feature_store.is_narrowed(input) -%} {{ return(none) }} {%- endif -%}
    {%- set rows = namespace(count=0) -%}
    {%- for file in input.files -%}
        {%- set format = feature_store._format_of(file) -%}
        {%- if format == 'parquet' -%}
            {%- set found = 'select sum(num_rows) from parquet_file_metadata(' ~ feature_store._list_of([file]) ~ ')' -%}
        {%- else -%}
            {%- set quote = input.quote if format == 'csv' -%}
            {%- set quotes = 'length(line) - length(replace(line, ' ~ feature_store.text_literal(quote) ~ ", ''))" if quote else '0' -%}
            {%- set lines = 'select line, row_number() over () as n, ' ~ quotes ~ ' as quotes from ' ~ feature_store.lines_of([file]) -%}
            {%- set has_quotes = run_query('select max(quotes) > 0 from (' ~ lines ~ ') as lines').rows[0][0] -%}
            {%- set found -%}
                select count(*) from (
                    select line {%- if has_quotes %}, sum(quotes) over (order by n) % 2 = 0 as is_end {%- endif %}
                    from ({{ lines }}) as lines
                ) as ends where length(line) > 0 {%- if has_quotes %} and is_end {%- endif -%}
            {%- endset -%}
        {%- endif -%}
        {%- set header = 1 if format == 'csv' else 0 -%}
        {%- set rows.count = rows.count + [(run_query(found).rows[0][0] or 0) - header, 0] | max -%}
    {%- endfor -%}
    {{ return(rows.count) }}
{% endmacro %}
