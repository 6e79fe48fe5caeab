{% macro categories_of(x, options) %}
    {%- if options.get('categories') -%}
        {%- set texts = [] -%}
        {%- for category in options['categories'] -%}
            {%- do texts.append((category | string).lower() if category is boolean else category | string) -%}
        {%- endfor -%}
        {{ return(feature_store.as_literal(texts)) }}
    {%- endif -%}
    {{ return(feature_store.distinct_sorted(x)) }}
{% endmacro %}
