{#- Join each left row with the latest right row of the same keys whose time is not later than the left
    row's. Every left row comes out once; without a match the right columns are null. The right side
    must be unique by (keys, time): a tie would be settled silently. -#}
{% macro asof_left_join(right, alias, keys, left_alias, left_time, right_time) %}
    {{- return(adapter.dispatch('asof_left_join', 'feature_store')(right, alias, keys, left_alias, left_time, right_time)) -}}
{% endmacro %}

{% macro duckdb__asof_left_join(right, alias, keys, left_alias, left_time, right_time) -%}
asof left join {{ right }} as {{ alias }}
        on
        {%- for key in keys %}
            {{ left_alias }}.{{ key }} = {{ alias }}.{{ key }} and
        {%- endfor %}
            {{ left_alias }}.{{ left_time }} >= {{ alias }}.{{ right_time }}
{%- endmacro %}
