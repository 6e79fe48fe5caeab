{% macro fit_bucketize(x, options) %}
    {{ return({'boundaries': feature_store.as_literal(options['boundaries'], 'double')}) }}
{% endmacro %}

{% macro apply_bucketize(x, parameters) %}
    {{ return(
        'case when ' ~ x ~ ' is not null then ' ~ feature_store.count_up_to(parameters['boundaries'], x) ~ ' end'
    ) }}
{% endmacro %}
