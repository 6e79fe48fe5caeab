{#- Not `store_now`, which without a set clock is the start of the run: the input is read later, and would be
    taken for known before anybody looked. -#}
{% macro default__snapshot_get_time() %}
    {%- if env_var('FEATURE_STORE_NOW', '') | trim -%}
        {{ feature_store._literal(feature_store.store_now()) }}
    {%- else -%}
        cast({{ current_timestamp() }} as timestamp)
    {%- endif -%}
{% endmacro %}
