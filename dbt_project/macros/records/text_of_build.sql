{#- What dbt ran for an incremental model is one increment, another one each night, and of microbatch one batch. The rows
    are to be those of its whole text. A model that is built by day has the same text whatever days it builds. -#}
{% macro text_of_build(by_day) %}
    {%- if model.config.materialized != 'incremental' or by_day -%} {{ return(model.get('compiled_code') or '') }} {%- endif -%}
    {%- set unique_id = model.unique_id -%}
    {%- set state = {'cuts': {}, 'whole': false, 'names': {}, 'parts': []} -%}
    {%- set text = feature_store.build_again(feature_store.rendered_again(unique_id), unique_id, state) -%}
    {{ return(
        'with ' ~ state.parts | join(',\n') ~ '\nselect * from (' ~ text ~ '\n) as built' if state.parts else text
    ) }}
{% endmacro %}
