{#- Inside the model's own transaction: after a kill, data and ledger agree. -#}
{% macro record_build(by_day=false, partition=none) %}
    {%- if flags.EMPTY -%} {{ return('') }} {%- endif -%}
    {%- for read in feature_store.deferred_inputs(model) -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ": it read " ~ read ~ ", which --defer took from another target, and would not match what is "
            ~ "published of this one; build its inputs here: dbt build --select +" ~ model.name
        ) }}
    {%- endfor -%}
    {%- set ledger = feature_store.record('build_ledger') -%}
    {%- set text = feature_store.text_of_build(by_day) if execute else '' -%}
    {%- set checksum = local_md5(text) -%}
    {%- if execute -%} {%- do feature_store._record_sql(checksum, text) -%} {%- endif %}
    insert into {{ ledger }} (
        "sequence", build_id, model, model_checksum, day, "rows", content, reason, fingerprint,
        availability_lag_hours, source_first_day, window_days, built_at, vars, clock
    )
    select
        (select coalesce(max("sequence"), 0) + 1 from {{ ledger }}) as "sequence",
        '{{ invocation_id }}' as build_id,
        '{{ model.unique_id }}' as model,
    {%- if by_day %}
        -- A day that is only stamped again keeps the SQL that built it.
        case when plan.rebuild then '{{ checksum }}' else previous.model_checksum end as model_checksum,
        plan.day,
        coalesce(counted."rows", 0) as "rows",
        coalesce(counted.content, '0:0') as content,
        plan.reason,
        plan.fingerprint,
        {{ feature_store.availability_lag_hours() }} as availability_lag_hours,
        plan.source_first_day,
        plan.window_days,
    {%- elif partition %}
        '{{ checksum }}' as model_checksum,
        coalesce(stands.day, known.day) as day,
        coalesce(stands."rows", 0) as "rows",
        coalesce(stands.content, '0:0') as content,
        case
            when known.day is null then 'new rows'
            when stands.day is null then 'rows gone'
            when stands.content = known.content then '{{ "whole build" if flags.FULL_REFRESH else "rows are over" }}'
            else 'rows changed'
        end as reason,
        cast(null as varchar) as fingerprint,
        {{ feature_store.availability_lag_hours() }} as availability_lag_hours,
        cast(null as date) as source_first_day,
        cast(null as integer) as window_days,
    {%- else %}
        '{{ checksum }}' as model_checksum,
        cast(null as date) as day,
        counted."rows",
        counted.content,
        'whole build' as reason,
        cast(null as varchar) as fingerprint,
        cast(null as integer) as availability_lag_hours,
        cast(null as date) as source_first_day,
        cast(null as integer) as window_days,
    {%- endif %}
        {{ feature_store._literal(run_started_at) }} as built_at,
        {{ feature_store._vars() if execute else "''" }} as vars,
        {{ feature_store.clock_reading() }} as clock
    {%- if by_day %}
    from {{ feature_store.record('build_plan') }} as plan
    left join (
        select day, count(*) as "rows", {{ feature_store.content_of_rows() }} as content from {{ this }}
        where
            day >= (select min(day) from {{ feature_store.record('build_plan') }} where model = '{{ model.unique_id }}')
            and day <= (select max(day) from {{ feature_store.record('build_plan') }} where model = '{{ model.unique_id }}')
        group by 1
    ) as counted on plan.day = counted.day
    left join ({{ feature_store.current_ledger(model.unique_id) }}) as previous on plan.day = previous.day
    where plan.model = '{{ model.unique_id }}'
    {%- elif partition %}
    from (
        select
            {{ feature_store.quoted(partition) }} as day,
            count(*) as "rows",
            {{ feature_store.content_of_rows() }} as content,
            {{ feature_store._over_at() }} as over_at
        from {{ this }}
        group by 1
    ) as stands
    full outer join ({{ feature_store.current_ledger(model.unique_id) }}) as known on stands.day = known.day
    -- A row that came out the same after its period was over is no longer one that is not over.
    where
        coalesce(stands.content, '0:0') is distinct from known.content
        or stands.over_at > known.clock
        or {{ 'true' if flags.FULL_REFRESH else 'false' }}
    {%- else %}
    from (select count(*) as "rows", {{ feature_store.content_of_rows() }} as content from {{ this }}) as counted
    {%- endif %}
{% endmacro %}

{#- When what the last of some rows of a feature group counts is over. -#}
{% macro _over_at() %}
    {%- set group = model.config.meta.get('feature_group') -%}
    {%- if group is not mapping -%} {{ return('cast(null as timestamp)') }} {%- endif -%}
    {{ return(feature_store.add_hours(
        'max(' ~ feature_store.quoted(group.get('available_at') or 'available_at') ~ ')',
        [0, -feature_store.availability_lag_hours()] | min
    )) }}
{% endmacro %}

{#- A training set can be built again from its receipt alone, when its SQL is kept. -#}
{% macro _record_sql(checksum, text) %}
    {%- set known = feature_store.record('built_sql') -%}
    {%- set checksum_and_model = "model_checksum = '" ~ checksum ~ "' and model = '" ~ model.unique_id ~ "'" -%}
    {%- do run_query(
        "delete from " ~ known ~ " where " ~ checksum_and_model ~ ";\n"
        ~ "insert into " ~ known ~ " (model_checksum, model, sql, used) select '" ~ checksum ~ "', '" ~ model.unique_id
        ~ "', " ~ feature_store.text_literal(text) ~ ", coalesce(max(used), 0) + 1 from " ~ known
    ) -%}
{% endmacro %}

{#- What dbt itself keeps of them is overwritten by the next command. -#}
{% macro _vars() %}
    {%- set project = fromyaml(feature_store._project_file()) or {} -%}
    {%- set vars = {
        'command': feature_store._given_vars(), 'project': feature_store._plain(project.get('vars') or {}),
        'inputs': feature_store._inputs(),
    } -%}
    {{ return(feature_store.text_literal(tojson(vars, sort_keys=true))) }}
{% endmacro %}

{#- The vars of this command. A secret of dbt's stays out. -#}
{% macro _given_vars() %}
    {%- set given = {} -%}
    {%- for name, value in (invocation_args_dict.get('vars') or {}).items()
        if not name.startswith('DBT_ENV_SECRET') -%}
        {%- do given.update({name: feature_store._plain(value)}) -%}
    {%- endfor -%}
    {{ return(given) }}
{% endmacro %}

{#- A date without quotes has no form in JSON. -#}
{% macro _plain(value) %}
    {%- if value is mapping -%}
        {%- set plain = {} -%}
        {%- for name, part in value.items() -%} {%- do plain.update({name | string: feature_store._plain(part)}) -%} {%- endfor -%}
        {{ return(plain) }}
    {%- elif value is sequence and value is not string -%}
        {%- set plain = [] -%}
        {%- for part in value -%} {%- do plain.append(feature_store._plain(part)) -%} {%- endfor -%}
        {{ return(plain) }}
    {%- endif -%}
    {{ return(value if value is none or value is boolean or value is number else value | string) }}
{% endmacro %}

{#- Jinja is shown a project's vars one by one, and only by name. -#}
{% macro _project_file() %}{{ return(adapter.dispatch('_project_file', 'feature_store')()) }}{% endmacro %}

{% macro duckdb___project_file() %}
    {%- set path = (invocation_args_dict.get('project_dir') or '.') ~ '/dbt_project.yml' -%}
    {%- set found = run_query("select content from read_text(" ~ feature_store.text_literal(path) ~ ")") -%}
    {{ return(found.columns[0].values()[0]) }}
{% endmacro %}
