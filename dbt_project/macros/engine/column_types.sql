{% macro column_types(relation, var_name) %}{{ return(adapter.dispatch('column_types', 'feature_store')(relation, var_name)) }}{% endmacro %}

{% macro duckdb__column_types(relation, var_name) %}
    {%- set types = {} -%}
    {#- A seed that is not loaded yet has no columns to describe; compiling must not need it. Nor has a unit
        test's fixture, which is not a relation of the database. -#}
    {%- if execute and (relation is string or (not relation.is_cte and load_relation(relation) is not none)) -%}
        {%- for row in run_query('select column_name, column_type from (describe select * from ' ~ relation ~ ')').rows -%}
            {%- do types.update({row[0] | lower: row[1] | upper}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(types) }}
{% endmacro %}
