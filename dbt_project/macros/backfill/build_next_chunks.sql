{#- The model's own SQL again, chunk by chunk, still in its transaction: chunk 0 is built by dbt, and each turn
    moves the next one into its place. -#}
{% macro build_next_chunks() %}
    {%- if execute -%}
    {%- set plan = feature_store.record('build_plan') -%}
    {%- set mine = " where model = '" ~ model.unique_id ~ "' and rebuild" -%}
    {%- set columns = feature_store.quoted_list(model.columns) | join(', ') -%}
    {%- set last = run_query('select coalesce(max(chunk), 0) from ' ~ plan ~ mine).rows[0][0] | int -%}
    {%- for turn in range(last) -%}
        {%- do run_query('update ' ~ plan ~ ' set chunk = chunk - 1' ~ mine) -%}
        {%- do run_query('delete from ' ~ this ~ ' where day in (select day from ' ~ feature_store.planned_days() ~ ')') -%}
        {%- do run_query(
            'insert into ' ~ this ~ ' (' ~ columns ~ ') select ' ~ columns ~ ' from ('
            ~ model.compiled_code ~ '\n) as chunk'
        ) -%}
        {%- set done = run_query(
            'select count(case when chunk <= 0 then 1 end), count(*), max(case when chunk <= 0 then day end) from '
            ~ plan ~ mine
        ).rows[0] -%}
        {%- do log(model.name ~ ": " ~ done[0] ~ " of " ~ done[1] ~ " days built, to " ~ done[2], info=true) -%}
    {%- endfor -%}
    {%- endif -%}
{% endmacro %}
