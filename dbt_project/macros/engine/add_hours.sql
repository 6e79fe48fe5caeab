{% macro add_hours(timestamp, hours) %}{{ return(adapter.dispatch('add_hours', 'feature_store')(timestamp, hours)) }}{% endmacro %}

{% macro duckdb__add_hours(timestamp, hours) -%}
    (cast({{ timestamp }} as timestamp) + {{ hours }} * interval 1 hour)
{%- endmacro %}
