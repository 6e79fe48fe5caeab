{#- Spread by Chan, Golub and LeVeque (1979): the spread within the parts, and that of their means around the mean of all. -#}
{% macro moments(x) %}{{ return(adapter.dispatch('moments', 'feature_store')(x)) }}{% endmacro %}

{% macro duckdb__moments(x) -%}
    case when count({{ x }}) > 0 then struct_pack(
            n := count({{ x }}),
            total := sum({{ x }} order by {{ x }}),
            spread := var_pop({{ x }} order by {{ x }}) * count({{ x }})
        ) end
{%- endmacro %}

{% macro moments_in_order(x, order) %}{{ return(adapter.dispatch('moments_in_order', 'feature_store')(x, order)) }}{% endmacro %}

{% macro duckdb__moments_in_order(x, order) -%}
    list({{ x }} order by {{ order | join(', ') }}) filter ({{ x }} is not null)
{%- endmacro %}

{% macro deviation_of(parts) %}{{ return(adapter.dispatch('deviation_of', 'feature_store')(parts)) }}{% endmacro %}

{% macro duckdb__deviation_of(parts) -%}
    {%- set n = 'list_sum(list_transform(' ~ parts ~ ', lambda part: part.n))' -%}
    {%- set mean = '(list_sum(list_transform(' ~ parts ~ ', lambda part: part.total)) / ' ~ n ~ ')' -%}
    case when {{ n }} > 1 then sqrt(
            list_sum(list_transform({{ parts }}, lambda part:
                part.spread + part.n * pow(part.total / part.n - {{ mean }}, 2)
            )) / ({{ n }} - 1)
        ) end
{%- endmacro %}
