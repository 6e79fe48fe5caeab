{#- The records live beside the models and are declared as sources, so that models and the manifest name
    them like any other. -#}
{% macro create_records() %}
    {%- if execute and flags.WHICH in ['build', 'run', 'test', 'seed', 'snapshot', 'compile', 'show'] -%}
        {%- do feature_store.require_utc() -%}
        {%- set judges = flags.WHICH in ['build', 'run', 'test'] -%}
        {%- if judges -%}
            {%- do feature_store.require_meta() -%}
            {%- do feature_store.require_types() -%}
            {%- do feature_store.require_gate_tests() -%}
        {%- endif -%}
        {%- set warehouse = feature_store.record('warehouse') -%}
        {%- do adapter.create_schema(api.Relation.create(database=warehouse.database, schema=warehouse.schema)) -%}
        {%- set statements = [] -%}
        {%- for name, columns in feature_store._record_columns().items() -%}
            {%- set typed = [] -%}
            {%- for column, type in columns.items() -%} {%- do typed.append('"' ~ column ~ '" ' ~ type) -%} {%- endfor -%}
            {%- do statements.append(
                'create table if not exists ' ~ feature_store.record(name) ~ ' (' ~ typed | join(', ') ~ ')'
            ) -%}
        {%- endfor -%}
        {%- do statements.append(
            "insert into " ~ warehouse ~ " select '" ~ invocation_id ~ "', " ~ feature_store._literal(run_started_at)
            ~ " where not exists (select 1 from " ~ warehouse ~ ")"
        ) -%}
        {#- In one call: every command comes here. -#}
        {%- do run_query(statements | join(';\n')) -%}
        {%- do feature_store.refuse_partial_builds() -%}
        {%- if judges -%}
            {%- do feature_store.check_inputs() -%}
            {#- Every time, so that the rules are those of the project that is run, and the commands in their reasons
                have the vars of this one. One view may read another that is before it. -#}
            {%- set views = [] -%}
            {%- for name in ['dbt_arguments', 'day_status', 'gate_objections'] -%}
                {%- do views.append('create or replace view ' ~ feature_store.record(name) ~ ' as ' ~ feature_store[name]()) -%}
            {%- endfor -%}
            {%- do run_query(views | join(';\n')) -%}
        {%- endif -%}
        {%- do feature_store.record_gate_tests() -%}
    {%- endif -%}
{% endmacro %}

{#- The columns of each table, with their types. -#}
{% macro _record_columns() %}
    {{ return({
        'build_plan': {
            'model': 'varchar', 'day': 'date', 'reason': 'varchar', 'rebuild': 'boolean',
            'available_at': 'timestamp', 'fingerprint': 'varchar', 'source_first_day': 'date',
            'window_days': 'integer', 'chunk': 'integer',
        },
        'build_ledger': {
            'sequence': 'bigint', 'build_id': 'varchar', 'model': 'varchar', 'model_checksum': 'varchar',
            'day': 'date', 'rows': 'bigint', 'reason': 'varchar', 'fingerprint': 'varchar',
            'availability_lag_hours': 'integer', 'source_first_day': 'date', 'window_days': 'integer',
            'built_at': 'timestamp', 'content': 'varchar', 'vars': 'varchar', 'clock': 'timestamp',
        },
        'built_sql': {'model_checksum': 'varchar', 'model': 'varchar', 'sql': 'varchar', 'used': 'bigint'},
        'gate_passes': {'model': 'varchar', 'model_sequence': 'bigint', 'passed_at': 'timestamp'},
        'gate_tests': {'model': 'varchar', 'test': 'varchar', 'name': 'varchar', 'is_published': 'boolean'},
        'gate_verdicts': {
            'sequence': 'bigint', 'run_id': 'varchar', 'test': 'varchar', 'name': 'varchar', 'model': 'varchar',
            'model_sequence': 'bigint', 'status': 'varchar', 'failures': 'bigint',
            'recorded_at': 'timestamp', 'sample_share': 'double', 'because': 'varchar',
        },
        'input_files': {
            'model': 'varchar', 'file': 'varchar', 'size': 'bigint', 'modified': 'timestamp',
            'first_ts': 'timestamp', 'last_ts': 'timestamp', 'form': 'varchar', 'seen_at': 'timestamp',
        },
        'warehouse': {'warehouse_id': 'varchar', 'created_at': 'timestamp'},
    }) }}
{% endmacro %}

{#- A Python time or date as a timestamp literal in UTC. -#}
{% macro _literal(moment) %}
    {{ return("timestamp '" ~ moment.strftime('%Y-%m-%d %H:%M:%S.%f') ~ "'") }}
{% endmacro %}
