{% macro refresh_available_at() %}
    {%- if is_incremental() %}
    update {{ this }} as target
    set available_at = plan.available_at
    from {{ feature_store.record('build_plan') }} as plan
    where plan.model = '{{ model.unique_id }}' and not plan.rebuild and target.day = plan.day
    {%- endif %}
{% endmacro %}
