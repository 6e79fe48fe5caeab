{% macro announce_plan() %}
    {%- if execute -%}
    {%- set rows = run_query(
        "select reason, count(*), min(day), max(day) from " ~ feature_store.record('build_plan')
        ~ " where model = '" ~ model.unique_id ~ "' group by 1 order by 3"
    ).rows -%}
    {%- for row in rows -%}
        {%- do log(
            model.name ~ ": " ~ row[1] ~ (" day" if row[1] == 1 else " days") ~ " " ~ row[0] ~ ", "
            ~ (row[2] if row[1] == 1 else row[2] ~ " to " ~ row[3]), info=true
        ) -%}
    {%- endfor -%}
    {%- if not rows -%}
        {%- do log(model.name ~ (': an empty build' if flags.EMPTY else ': every finished day is built and no event changed'), info=true) -%}
    {%- endif -%}
    {%- endif -%}
{% endmacro %}
