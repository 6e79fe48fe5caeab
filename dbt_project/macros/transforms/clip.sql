{% macro fit_clip(x, options) %}
    {{ return({
        'min': feature_store.as_literal(options.get('min'), 'double'),
        'max': feature_store.as_literal(options.get('max'), 'double'),
    }) }}
{% endmacro %}

{% macro apply_clip(x, parameters) %}
    {{ return(
        'case when ' ~ x ~ ' < ' ~ parameters['min'] ~ ' then ' ~ parameters['min']
        ~ ' when ' ~ x ~ ' > ' ~ parameters['max'] ~ ' then ' ~ parameters['max'] ~ ' else ' ~ x ~ ' end'
    ) }}
{% endmacro %}
