{% macro session_time_zone() %}{{ return(adapter.dispatch('session_time_zone', 'feature_store')()) }}{% endmacro %}

{% macro duckdb__session_time_zone() %}
    {{ return(run_query("select current_setting('TimeZone')").columns[0].values()[0]) }}
{% endmacro %}
