{#- A tie on the right side would be settled silently; the gate forbids one. -#}
{% macro asof_left_join(right, alias, keys, left_alias, left_time, right_time) %}
    {{- return(adapter.dispatch('asof_left_join', 'feature_store')(right, alias, keys, left_alias, left_time, right_time)) -}}
{% endmacro %}

{% macro duckdb__asof_left_join(right, alias, keys, left_alias, left_time, right_time) -%}
asof left join {{ right }} as {{ alias }}
        on
        {%- for right_key, left_key in keys.items() %}
            {{ left_alias }}.{{ left_key }} = {{ alias }}.{{ right_key }} and
        {%- endfor %}
            {{ left_alias }}.{{ left_time }} >= {{ alias }}.{{ right_time }}
{%- endmacro %}
