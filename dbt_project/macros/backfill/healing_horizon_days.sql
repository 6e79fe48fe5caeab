{% macro healing_horizon_days() %}
    {{ return(feature_store._days('healing_horizon_days', var('healing_horizon_days', none), 90)) }}
{% endmacro %}
