{#- Inside the model's own transaction: after a kill, data and ledger agree. -#}
{% macro record_build(by_day) %}
    {%- set ledger = source('records', 'build_ledger') -%}
    {%- set checksum = local_md5(model.get('compiled_code') or '') -%}
    {%- if execute -%} {%- do _record_sql(checksum) -%} {%- endif %}
    insert into {{ ledger }} (
        "sequence", build_id, model, model_checksum, day, "rows", content, reason, fingerprint,
        availability_lag_hours, source_first_day, built_at
    )
    select
        (select coalesce(max("sequence"), 0) + 1 from {{ ledger }}) as "sequence",
        '{{ invocation_id }}' as build_id,
        '{{ model.unique_id }}' as model,
        '{{ checksum }}' as model_checksum,
    {%- if by_day %}
        plan.day,
        coalesce(counted."rows", 0) as "rows",
        coalesce(counted.content, '0:0') as content,
        plan.reason,
        plan.fingerprint,
        {{ availability_lag_hours() }} as availability_lag_hours,
        plan.source_first_day,
    {%- else %}
        cast(null as date) as day,
        counted."rows",
        counted.content,
        'whole build' as reason,
        cast(null as varchar) as fingerprint,
        cast(null as integer) as availability_lag_hours,
        cast(null as date) as source_first_day,
    {%- endif %}
        {{ _literal(run_started_at) }} as built_at
    {%- if by_day %}
    from {{ source('records', 'build_plan') }} as plan
    left join (
        select day, count(*) as "rows", {{ content_of_rows() }} as content from {{ this }}
        where
            day >= (select min(day) from {{ source('records', 'build_plan') }} where model = '{{ model.unique_id }}')
            and day <= (select max(day) from {{ source('records', 'build_plan') }} where model = '{{ model.unique_id }}')
        group by 1
    ) as counted on plan.day = counted.day
    where plan.model = '{{ model.unique_id }}'
    {%- else %}
    from (select count(*) as "rows", {{ content_of_rows() }} as content from {{ this }}) as counted
    {%- endif %}
{% endmacro %}

{#- A training set can be built again from its receipt alone, when its SQL is kept. -#}
{% macro _record_sql(checksum) %}
    {%- set known = source('records', 'built_sql') -%}
    {%- do run_query(
        "insert into " ~ known ~ " (model_checksum, model, sql) select '" ~ checksum ~ "', '" ~ model.unique_id
        ~ "', '" ~ (model.get('compiled_code') or '') | replace("'", "''") ~ "' where not exists ("
        ~ "select 1 from " ~ known ~ " where model_checksum = '" ~ checksum ~ "' and model = '" ~ model.unique_id ~ "')"
    ) -%}
{% endmacro %}
