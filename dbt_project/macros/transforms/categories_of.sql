{% macro categories_of(x, options) %}
    {%- if options.get('categories') -%}
        {{ return(feature_store.as_literal(feature_store.category_texts(options['categories']))) }}
    {%- endif -%}
    {{ return(feature_store.distinct_sorted(x)) }}
{% endmacro %}

{% macro category_texts(categories) %}
    {%- set texts = [] -%}
    {%- for category in categories -%}
        {%- do texts.append((category | string).lower() if category is boolean else category | string) -%}
    {%- endfor -%}
    {{ return(texts) }}
{% endmacro %}
