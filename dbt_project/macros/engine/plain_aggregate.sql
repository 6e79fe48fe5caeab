{% macro plain_aggregate(kind, x, condition, order=none, n=none) %}{{ return(adapter.dispatch('plain_aggregate', 'feature_store')(kind, x, condition, order, n)) }}{% endmacro %}

{% macro duckdb__plain_aggregate(kind, x, condition, order, n) -%}
    {%- set these = ' filter (where ' ~ condition ~ ')' -%}
    {%- if kind == 'count_distinct' -%} {{ return('count(distinct ' ~ x ~ ')' ~ these) }}
    {%- elif kind == 'stddev' -%} {{ return('stddev_samp(' ~ x ~ ')' ~ these) }}
    {%- elif kind in ['first', 'last'] -%}
        {{ return({'first': 'arg_min', 'last': 'arg_max'}[kind] ~ '(' ~ x ~ ', row(' ~ order | join(', ') ~ '))' ~ these) }}
    {%- elif kind == 'last_n' -%}
        {{ return('(list(' ~ x ~ ' order by row(' ~ order | join(', ') ~ ') desc)' ~ these ~ ')[1:' ~ n ~ ']') }}
    {%- endif -%}
    {{ return(kind ~ '(' ~ x ~ ')' ~ these) }}
{%- endmacro %}
