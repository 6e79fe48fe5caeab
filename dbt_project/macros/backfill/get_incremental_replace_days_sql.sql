{#- Incremental strategy `replace_days`: every planned day is replaced whole, also one that is now empty,
    which a delete by the new rows' keys would leave as it was. -#}
{% macro get_incremental_replace_days_sql(arg_dict) %}
    {%- set target, new = arg_dict['target_relation'], arg_dict['temp_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') %}
    delete from {{ target }} where day in (select day from {{ planned_days() }});

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ new }}
{% endmacro %}
