{% macro fit_ordinal_encode(x, options) %}
    {{ return({'categories': feature_store.categories_of(x, options)}) }}
{% endmacro %}

{% macro apply_ordinal_encode(x, parameters) %}
    {{ return(
        'case when ' ~ x ~ ' is not null then '
        ~ feature_store.position_in(parameters['categories'], x) ~ ' end'
    ) }}
{% endmacro %}
