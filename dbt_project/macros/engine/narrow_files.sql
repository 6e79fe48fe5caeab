{#- Opening a file costs the same whether or not it holds a requested day. So the range of each file's times is
    remembered from one build to the next, and the view gets the list of files to open. Nothing else is taken
    from memory: what is built and what changed is read from the events. -#}
{% macro note_files(files, columns) %}{{ return(adapter.dispatch('note_files', 'feature_store')(files, columns)) }}{% endmacro %}

{% macro default__note_files(files, columns) %}{{ return(none) }}{% endmacro %}

{% macro duckdb__note_files(files, columns) %}
    {%- set input = feature_store.input_files(files) if files and execute else none -%}
    {%- if input is none or not feature_store.is_narrowed(input) -%} {{ return(none) }} {%- endif -%}
    {%- set ranges = feature_store.record('input_files') -%}
    {%- set mine = "model = '" ~ model.unique_id ~ "'" -%}
    {%- set look %}
        create or replace temp table found_files as
        select
            filename as file, size, cast(last_modified as timestamp) as modified, row_number() over () as place
        from read_blob({{ feature_store._list_of(input.files) }})
        -- Read in parallel and stored in their order, hundreds of files would take three times as long.
        order by place;

        delete from {{ ranges }} as known
        where
            {{ mine }}
            and (
                {{ feature_store.is_young('known') }}
                or not exists (
                    select 1 from found_files as found
                    where found.file = known.file and found.size = known.size and found.modified = known.modified
                )
            );

        set variable unread_files = (
            select list(distinct file) from found_files
            where file not in (select file from {{ ranges }} where {{ mine }})
        );

        select
            coalesce(len(getvariable('unread_files')), 0) as unread,
            -- A column that comes from the path is not in the file's footer.
            (
                select count(*) from found_files
                where regexp_matches(lower(file), '(^|/)({{ columns | join("|") }})=')
            ) as of_paths
    {%- endset -%}
    {%- set found = run_query(look).rows[0] -%}
    {%- if found[1] -%} {{ return(none) }} {%- endif -%}
    {%- if found[0] -%}
        {%- do run_query(feature_store._read_ranges(ranges)) -%}
    {%- endif -%}
    {{ return(feature_store.narrow_name(input)) }}
{% endmacro %}

{#- A Parquet footer has the smallest and the largest value of each row group. A file without them in one row
    group, or with another type than a time, has no range and is always opened. -#}
{% macro _read_ranges(ranges) %}
    {%- set unread = "list_transform(getvariable('unread_files'), lambda file: regexp_replace(file, '([*?\[])', '[\1]', 'g'))" %}
    insert into {{ ranges }} (model, file, size, modified, first_ts, last_ts, form, seen_at)
    select
        '{{ model.unique_id }}' as model,
        found.file,
        found.size,
        found.modified,
        case when ranges_in_footer.is_whole then ranges_in_footer.first_ts end as first_ts,
        case when ranges_in_footer.is_whole then ranges_in_footer.last_ts end as last_ts,
        forms.form,
        cast(now() as timestamp) as seen_at
    from (select distinct file, size, modified from found_files) as found
    left join (
        select
            file_name as file,
            bool_and(
                type in ('INT32', 'INT64')
                and try_cast(stats_min_value as timestamp) is not null
                and try_cast(stats_max_value as timestamp) is not null
            ) as is_whole,
            min(try_cast(stats_min_value as timestamp)) as first_ts,
            max(try_cast(stats_max_value as timestamp)) as last_ts
        from parquet_metadata({{ unread }})
        where lower(path_in_schema) = 'ts'
        group by 1
    ) as ranges_in_footer on found.file = ranges_in_footer.file
    left join ({{ feature_store._forms_in_footers(unread) }}) as forms on found.file = forms.file
    where found.file in (select unnest(getvariable('unread_files')))
{% endmacro %}

{#- The clock of files may tick in seconds: what was read that soon after a change is read again. -#}
{% macro is_young(known) %}{{ return(known ~ '.modified > ' ~ known ~ '.seen_at - interval 10 second') }}{% endmacro %}

{#- Whether every file of an input has a footer. -#}
{% macro is_narrowed(input) %}
    {%- set formats = [] -%}
    {%- for file in input.files -%} {%- do formats.append(feature_store._format_of(file)) -%} {%- endfor -%}
    {{ return(formats | unique | list == ['parquet']) }}
{% endmacro %}

{#- The variable that narrows a view over these files. A view over others does not hear of it. -#}
{% macro narrow_name(input) %}{{ return('narrow_' ~ local_md5((input.patterns or input.files) | join('\n'))) }}{% endmacro %}

{% macro narrow_files(noted, first, last) %}{{ return(adapter.dispatch('narrow_files', 'feature_store')(noted, first, last)) }}{% endmacro %}

{#- The first file is always opened: there must be one. -#}
{% macro duckdb__narrow_files(noted, first, last) %}
    set variable {{ noted }} = (
        select list(regexp_replace(found.file, '([*?\[])', '[\1]', 'g') order by found.place)
        from found_files as found
        left join {{ feature_store.record('input_files') }} as known
            on found.file = known.file and known.model = '{{ model.unique_id }}'
        where
            found.place = 1
            or known.first_ts is null
            or (known.last_ts >= ({{ first }}) and known.first_ts <= ({{ last }}))
    )
{% endmacro %}
