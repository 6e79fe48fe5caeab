{% macro older_days(model_name) -%}
    (
        {{ feature_store.day_ranges(
            '(select model, day from ' ~ feature_store.record('day_status') ~ " where model = '"
            ~ feature_store.model_id(model_name) ~ "' and is_older_sql) as older",
            ['model'],
        ) }}
    )
{%- endmacro %}
