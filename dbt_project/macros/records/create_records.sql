{#- The records live beside the models and are declared as sources, so that models and the manifest name
    them like any other. -#}
{% macro create_records() %}
    {%- if execute and flags.WHICH in ['build', 'run', 'test', 'seed', 'snapshot', 'compile', 'show'] -%}
        {%- if flags.WHICH in ['build', 'run', 'test'] -%} {%- do feature_store.require_gate_tests() -%} {%- endif -%}
        {%- set plan = source('records', 'build_plan') -%}
        {%- do adapter.create_schema(api.Relation.create(database=plan.database, schema=plan.schema)) -%}
        {%- do feature_store._create_record(plan, {
            'model': 'varchar', 'day': 'date', 'reason': 'varchar', 'rebuild': 'boolean',
            'available_at': 'timestamp', 'fingerprint': 'varchar', 'source_first_day': 'date',
            'window_days': 'integer', 'chunk': 'integer'
        }) -%}
        {%- do feature_store._create_record(source('records', 'build_ledger'), {
            'sequence': 'bigint', 'build_id': 'varchar', 'model': 'varchar', 'model_checksum': 'varchar',
            'day': 'date', 'rows': 'bigint', 'reason': 'varchar', 'fingerprint': 'varchar',
            'availability_lag_hours': 'integer', 'source_first_day': 'date', 'window_days': 'integer',
            'built_at': 'timestamp', 'content': 'varchar', 'vars': 'varchar'
        }) -%}
        {%- do feature_store._create_record(source('records', 'built_sql'), {
            'model_checksum': 'varchar', 'model': 'varchar', 'sql': 'varchar'
        }) -%}
        {%- do feature_store._create_record(source('records', 'gate_verdicts'), {
            'sequence': 'bigint', 'run_id': 'varchar', 'test': 'varchar', 'name': 'varchar', 'model': 'varchar',
            'model_sequence': 'bigint', 'status': 'varchar', 'failures': 'bigint',
            'recorded_at': 'timestamp', 'sample_share': 'double'
        }) -%}
        {%- do feature_store._create_record(source('records', 'gate_tests'), {
            'model': 'varchar', 'test': 'varchar', 'name': 'varchar', 'is_published': 'boolean'
        }) -%}
        {%- do feature_store._create_record(source('records', 'input_files'), {
            'model': 'varchar', 'file': 'varchar', 'size': 'bigint', 'modified': 'timestamp',
            'first_ts': 'timestamp', 'last_ts': 'timestamp', 'seen_at': 'timestamp'
        }) -%}
        {%- set warehouse = source('records', 'warehouse') -%}
        {%- do feature_store._create_record(warehouse, {'warehouse_id': 'varchar', 'created_at': 'timestamp'}) -%}
        {%- do run_query(
            "insert into " ~ warehouse ~ " select '" ~ invocation_id ~ "', " ~ feature_store._literal(run_started_at)
            ~ " where not exists (select 1 from " ~ warehouse ~ ")"
        ) -%}
        {%- do feature_store.record_gate_tests() -%}
        {%- do feature_store._create_view(source('records', 'gate_objections'), feature_store.gate_objections()) -%}
        {%- do feature_store._create_view(source('records', 'day_status'), feature_store.day_status()) -%}
    {%- endif -%}
{% endmacro %}

{% macro _create_record(relation, columns) %}
    {%- set parts = [] -%}
    {%- for name, type in columns.items() -%} {%- do parts.append('"' ~ name ~ '" ' ~ type) -%} {%- endfor -%}
    {%- do run_query('create table if not exists ' ~ relation ~ ' (' ~ parts | join(', ') ~ ')') -%}
{% endmacro %}

{#- Every time, so that the rules are those of the project that is run. -#}
{% macro _create_view(relation, sql) %}
    {%- do run_query('create or replace view ' ~ relation ~ ' as ' ~ sql) -%}
{% endmacro %}

{#- A Python time or date as a timestamp literal in UTC. -#}
{% macro _literal(moment) %}
    {{ return("timestamp '" ~ moment.strftime('%Y-%m-%d %H:%M:%S.%f') ~ "'") }}
{% endmacro %}
