{#- Not by the ledger: a build that finds no day to build enters none there, and its SQL is the newest all the same. -#}
{% macro newest_sql() -%}
    select model, model_checksum, sql
    from (
        select *, row_number() over (partition by model order by used desc) as recency
        from {{ feature_store.record('built_sql') }}
    ) as texts
    where recency = 1
{%- endmacro %}

{% macro _days_of_newest_sql(unique_id) -%}
    select entries.day
    from ({{ feature_store.current_ledger(unique_id) }}) as entries
    inner join ({{ feature_store.newest_sql() }}) as newest
        on entries.model = newest.model and entries.model_checksum = newest.model_checksum
{%- endmacro %}
