{% macro fit_scale(x, options) %}
    {%- set deviation = feature_store.stable_deviation(x) -%}
    {{ return({
        'mean': feature_store.stable_average(x),
        'scale': 'case when ' ~ deviation ~ ' = 0 then cast(1 as double) else ' ~ deviation ~ ' end',
    }) }}
{% endmacro %}

{% macro apply_scale(x, parameters) %}
    {{ return(feature_store.finite('(' ~ x ~ ' - ' ~ parameters['mean'] ~ ') / ' ~ parameters['scale'])) }}
{% endmacro %}
