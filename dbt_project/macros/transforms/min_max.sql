{% macro fit_min_max(x, options) %}
    {%- set range = feature_store.finite('max(' ~ x ~ ') - min(' ~ x ~ ')') -%}
    {{ return({
        'min': 'min(' ~ x ~ ')',
        'range': 'case when ' ~ range ~ ' = 0 then cast(1 as double) else ' ~ range ~ ' end',
    }) }}
{% endmacro %}

{% macro apply_min_max(x, parameters) %}
    {{ return(feature_store.finite('(' ~ x ~ ' - ' ~ parameters['min'] ~ ') / ' ~ parameters['range'])) }}
{% endmacro %}
