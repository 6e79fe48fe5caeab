{% macro announce_older_days(model_name) %}
    {%- for row in run_query(
        'select distinct first_day, last_day, ' ~ feature_store.dbt_command('build', first='first_day', last='last_day')
        ~ ' from ' ~ feature_store.older_days(model_name) ~ ' as older order by 1'
    ).rows -%}
        {%- do log(
            model_name ~ ": " ~ row[0] ~ " to " ~ row[1] ~ " were built by older SQL and are not built again here; run: "
            ~ row[2], info=true
        ) -%}
    {%- endfor -%}
{% endmacro %}
