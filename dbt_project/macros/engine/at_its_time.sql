{#- Compared field by field, so that the latest is the greatest. -#}
{% macro at_its_time(value, time, ties=none) %}{{ return(adapter.dispatch('at_its_time', 'feature_store')(value, time, ties)) }}{% endmacro %}

{% macro duckdb__at_its_time(value, time, ties) -%}
    case when {{ value }} is not null then struct_pack(happened_at := {{ time }}, {{ 'ties := ' ~ ties ~ ', ' if ties }}value := {{ value }}) end
{%- endmacro %}

{% macro greatest_n(x, n) %}{{ return(adapter.dispatch('greatest_n', 'feature_store')(x, n)) }}{% endmacro %}

{% macro duckdb__greatest_n(x, n) -%}
    max({{ x }}, {{ n }})
{%- endmacro %}

{% macro greatest_n_of_all(lists, n) %}{{ return(adapter.dispatch('greatest_n_of_all', 'feature_store')(lists, n)) }}{% endmacro %}

{% macro duckdb__greatest_n_of_all(lists, n) -%}
    list_transform(list_reverse_sort(flatten(list({{ lists }}) filter ({{ lists }} is not null)))[:{{ n }}], lambda one: one.value)
{%- endmacro %}
