{% macro default__snapshot_get_time() %}{{ feature_store.clock_reading() }}{% endmacro %}
