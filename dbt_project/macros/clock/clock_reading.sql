{#- Not `store_now`, which without a set clock is the start of the run: what is read later would be taken for known
    before anybody looked. -#}
{% macro clock_reading() %}
    {%- if env_var('FEATURE_STORE_NOW', '') | trim -%}
        {{- return(feature_store._literal(feature_store.store_now())) -}}
    {%- endif -%}
    {{- return('cast(' ~ dbt.current_timestamp() ~ ' as timestamp)') -}}
{% endmacro %}
