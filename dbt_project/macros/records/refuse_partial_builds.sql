{#- A view that is made of a sample stays sampled, an emptied table empty, and a snapshot ends every row that it does
    not see: so nothing partial may touch a warehouse that somebody publishes from. -#}
{% macro refuse_partial_builds() %}
    {%- if flags.WHICH in ['build', 'run', 'snapshot'] and invocation_args_dict.get('sample') -%}
        {{ exceptions.raise_compiler_error(
            "--sample: days that are built of a part of the input cannot pass the gate; leave it out and build a few days: "
            ~ "--vars '{start_date: 2024-01-01, end_date: 2024-01-07}'"
        ) }}
    {%- elif flags.WHICH in ['build', 'run', 'snapshot'] and flags.EMPTY and feature_store._has_builds() -%}
        {{ exceptions.raise_compiler_error(
            "--empty: this warehouse holds builds, which empty ones would replace; give it a warehouse of its own: "
            ~ "another FEATURE_STORE_HOME, or another target"
        ) }}
    {%- endif -%}
{% endmacro %}

{% macro _has_builds() %}
    {%- if run_query('select 1 from ' ~ feature_store.record('build_ledger') ~ ' limit 1').rows -%} {{ return(true) }} {%- endif -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'snapshot' -%}
        {%- if adapter.get_relation(node.database, node.schema, node.alias) -%} {{ return(true) }} {%- endif -%}
    {%- endfor -%}
    {{ return(false) }}
{% endmacro %}
