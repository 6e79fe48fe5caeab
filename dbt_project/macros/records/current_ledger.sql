{% macro current_ledger(unique_id) -%}
    select
        "sequence", model_checksum, day, "rows", content, fingerprint, availability_lag_hours, source_first_day
    from (
        select
            *,
            row_number() over (partition by day order by "sequence" desc) as recency
        from {{ source('records', 'build_ledger') }}
        where model = '{{ unique_id }}'
    ) as entries
    where recency = 1
{%- endmacro %}
