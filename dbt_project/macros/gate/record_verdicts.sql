{#- Runs after failures too, and records on which build each test ran; see `gate_objections`. A test that read nothing,
    or the rows of another target, says nothing of that build. -#}
{% macro record_verdicts(results) %}
    {%- set rows, failed = [], feature_store._failed(results) -%}
    {%- for result in results if feature_store._is_gate_test(result.node) and feature_store._is_about_the_build(result.node) -%}
        {%- set status = result.status | string -%}
        {%- set share = feature_store.gate_sample_share() if result.node.config.meta.get('sampled') else 1.0 -%}
        {%- if share < 1 -%}
            {%- do log(result.node.name ~ ": looked at a share of " ~ share ~ " of the keys", info=true) -%}
        {%- endif -%}
        {%- set because = feature_store._because(result.node, failed) if status == 'skipped' else 'null' -%}
        {%- for guarded in result.node.depends_on.nodes if guarded.startswith('model.') -%}
            {%- do rows.append(
                "(" ~ feature_store.text_literal(result.node.unique_id) ~ ", '" ~ result.node.name ~ "', '" ~ guarded ~ "', '" ~ status ~ "', "
                ~ ('null' if result.failures is none else result.failures) ~ ', ' ~ share ~ ', ' ~ because ~ ')'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for result in results if feature_store._lists_problems(result) -%} {%- do feature_store._print_problems(result) -%} {%- endfor -%}
    {%- if rows -%}
        {%- set verdicts = feature_store.record('gate_verdicts') %}
    insert into {{ verdicts }} (
        "sequence", run_id, test, name, model, model_sequence, status, failures, sample_share, because, recorded_at
    )
    select
        (select coalesce(max("sequence"), 0) + 1 from {{ verdicts }}) as "sequence",
        '{{ invocation_id }}' as run_id,
        said.test,
        said.name,
        said.model,
        (
            select max(ledger."sequence")
            from {{ feature_store.record('build_ledger') }} as ledger
            where ledger.model = said.model
        ) as model_sequence,
        said.status,
        cast(said.failures as bigint) as failures,
        cast(said.sample_share as double) as sample_share,
        cast(said.because as varchar) as because,
        {{ feature_store._literal(run_started_at) }} as recorded_at
    from (values {{ rows | join(', ') }}) as said (test, name, model, status, failures, sample_share, because);

    insert into {{ feature_store.record('gate_passes') }} (model, model_sequence, passed_at)
    select
        model,
        max("sequence") as model_sequence,
        {{ feature_store._literal(run_started_at) }} as passed_at
    from {{ feature_store.record('build_ledger') }}
    where
        model in (select model from {{ feature_store.record('gate_tests') }} where is_published)
        and model not in (select model from {{ feature_store.record('gate_objections') }})
    group by model
    {%- endif -%}
{% endmacro %}

{#- What went wrong, by its id: its name and how, and for a test the models that it refs. -#}
{% macro _failed(results) %}
    {%- set failed = {} -%}
    {%- for result in results if result.status | string in ['fail', 'error', 'runtime error'] -%}
        {%- set rows = '' if not result.failures else ' (1 row)' if result.failures == 1 else ' (' ~ result.failures ~ ' rows)' -%}
        {%- set is_test = result.node.resource_type | string in ['test', 'unit_test'] -%}
        {%- do failed.update({result.node.unique_id: {
            'said': result.node.name ~ (' failed' if result.status | string == 'fail' else ' had an error') ~ rows,
            'tested': result.node.depends_on.nodes if is_test else [],
        }}) -%}
    {%- endfor -%}
    {{ return(failed) }}
{% endmacro %}

{#- SQL of why dbt skipped a test: a model on the way to it failed, or a test of a model before those that it refs. With
    --fail-fast, anything did. -#}
{% macro _because(test, failed) %}
    {%- set models, before, causes = test.depends_on.nodes | list, [], [] -%}
    {#- The list grows while it is gone through. -#}
    {%- for id in models if id in graph.nodes -%}
        {%- for parent in (graph.nodes[id].get('depends_on') or {}).get('nodes', []) -%}
            {%- do before.append(parent) -%}
            {%- do models.append(parent) if parent not in models -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for id, cause in failed.items() if id in models or cause['tested'] | select('in', before) | list -%}
        {%- do causes.append(cause['said']) -%}
    {%- endfor -%}
    {%- set causes = causes or (failed.values() | map(attribute='said') | list)[:1] -%}
    {{ return(feature_store.text_literal(causes | join(', ')) if causes else 'null') }}
{% endmacro %}

{% macro _is_about_the_build(node) %}
    {%- for read in feature_store.deferred_inputs(node) -%}
        {%- do log(node.name ~ ': not recorded, for it read ' ~ read ~ ' of another target', info=true) -%}
        {{ return(false) }}
    {%- endfor -%}
    {{ return(not flags.EMPTY) }}
{% endmacro %}

{% macro _is_gate_test(node) %}
    {{ return(node.resource_type | string == 'test' and 'gate' in node.tags) }}
{% endmacro %}

{#- The tests of the inputs print theirs too: they stop a build before the gate tests run. -#}
{% macro _lists_problems(result) %}
    {{ return(
        result.node.resource_type | string == 'test' and result.status | string in ['fail', 'warn']
        and 'as problem' in (result.node.compiled_code or '')
    ) }}
{% endmacro %}

{#- A gate test selects a column `problem`: one sentence a row that names user, day and time. -#}
{% macro _print_problems(result) %}
    {%- set shown = 20 -%}
    {%- set found = run_query(
        'select problem from (' ~ result.node.compiled_code ~ '\n) as offending order by problem limit ' ~ shown
    ) -%}
    {%- do log(result.status | string | upper ~ ' ' ~ result.node.name ~ ' (' ~ result.failures ~ ')', info=true) -%}
    {%- for row in found.rows -%} {%- do log('  ' ~ row[0], info=true) -%} {%- endfor -%}
    {%- if result.failures > shown -%}
        {%- do log('  ... and ' ~ (result.failures - shown) ~ ' more', info=true) -%}
    {%- endif -%}
{% endmacro %}
