{#- A day that was removed, because it is not over or too early, counts as never built. -#}
{% macro current_ledger(unique_id=none, removed=false) -%}
    select
        model, day, "sequence", model_checksum, "rows", content, reason, fingerprint,
        availability_lag_hours, source_first_day, window_days, built_at, clock
    from (
        select
            *,
            row_number() over (partition by model, day order by "sequence" desc) as recency
        from {{ feature_store.record('build_ledger') }}
        where day is not null {%- if unique_id %} and model = '{{ unique_id }}' {%- endif %}
    ) as entries
    where recency = 1 {%- if not removed %} and not {{ feature_store.is_removal('reason') }} {%- endif %}
{%- endmacro %}
