{% macro fit_one_hot_encode(x, options) %}
    {{ return({'categories': feature_store.categories_of(x, options)}) }}
{% endmacro %}

{#- One column a category. Null and a category that was never seen are 0 in each. -#}
{% macro apply_one_hot_encode(x, category) %}
    {{ return('cast(coalesce(' ~ x ~ ' = ' ~ feature_store.as_literal(category) ~ ', false) as bigint)') }}
{% endmacro %}
