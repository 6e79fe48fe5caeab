{% macro fit_impute(x, options) %}
    {%- if options['with'] == 'mean' -%} {{ return({'value': feature_store.stable_average(x)}) }}
    {%- elif options['with'] == 'median' -%} {{ return({'value': 'median(' ~ x ~ ')'}) }}
    {%- endif -%}
    {{ return({'value': feature_store.as_literal(options['value'])}) }}
{% endmacro %}

{% macro apply_impute(x, parameters) %}
    {{ return('coalesce(' ~ x ~ ', ' ~ parameters['value'] ~ ')') }}
{% endmacro %}
