{#- By planned day, not by the new rows' keys: a day that is now empty has none, and would stay as it was. -#}
{% macro get_incremental_replace_days_sql(arg_dict) %}
    {%- set target, new = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') %}
    delete from {{ target }} where day in (select day from {{ feature_store.planned_days() }});

    delete from {{ target }} where day in (
        select day from {{ feature_store.record('build_plan') }}
        where model = '{{ model.unique_id }}' and {{ feature_store.is_removal('reason') }}
    );

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ new }}
{% endmacro %}
