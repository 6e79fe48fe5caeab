{#- Step by step: each is fitted on what the steps before it made of the training rows. -#}
{% macro fit_feature_view(view, training_set) %}
    {%- if not execute -%} {{ return('') }} {%- endif -%}
    {%- set definition = feature_store.feature_view_definition(view) -%}
    {%- set features = definition['features'] -%}
    {%- set depth = feature_store._depth(features) %}
with

-- The rows to fit on: no other row may influence a parameter.
level_0 as (
    select
        {%- for feature in features %}
        {{ feature_store._read_feature(feature) }} as feature_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ training_set }}
    where {{ definition['time'] }} < {{ definition['train_until'] }}
),
{% for level in range(1, depth + 1) %}
fit_{{ level }} as (
    select
        count(*) as fitted_on_rows
        {%- for feature in features if feature['steps'] | length >= level %}
        {%- set column = 'feature_' ~ feature['position'] -%}
        {%- for name, fitted in feature_store._fit_step(feature['steps'][level - 1], column).items() %},
        {{ fitted }} as {{ column }}_{{ name }}
        {%- endfor %}
        {%- endfor %}
    from level_{{ level - 1 }}
),
{% if level < depth %}
level_{{ level }} as (
    select
        {%- for feature in features if feature['steps'] | length > level %}
        {%- set column = 'feature_' ~ feature['position'] %}
        {{ feature_store._fitted_step(feature['steps'][level - 1], column) }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from level_{{ level - 1 }}
    cross join fit_{{ level }}
),
{% endif %}
{%- endfor %}
-- The view itself first, then its features.
fitted as (
    {%- for feature in features %}
    {%- for step in feature['steps'] %}
    select
        {{ feature['position'] }} as position,
        {{ feature_store.as_literal(feature['name']) }} as feature,
        {{ loop.index }} as step,
        '{{ step['transform'] }}' as transform,
        {{ feature_store._parameters_json(step, 'feature_' ~ feature['position']) }} as parameters,
        fitted_on_rows
    from fit_{{ loop.index }}
    union all
    {%- else %}
    select
        {{ feature['position'] }} as position,
        {{ feature_store.as_literal(feature['name']) }} as feature,
        0 as step,
        cast(null as varchar) as transform,
        '{}' as parameters,
        (select count(*) from level_0) as fitted_on_rows
    union all
    {%- endfor %}
    {%- endfor %}
    select
        0 as position,
        cast(null as varchar) as feature,
        0 as step,
        cast(null as varchar) as transform,
        {{ feature_store._recorded_definition(definition) }} as parameters,
        (select count(*) from level_0) as fitted_on_rows
)

select
    cast(position as integer) as position,
    feature,
    cast(step as integer) as step,
    transform,
    parameters,
    fitted_on_rows,
    {{ definition['train_until'] }} as train_until
from fitted
{% endmacro %}

{% macro _depth(features) %}
    {%- set depth = namespace(most=0) -%}
    {%- for feature in features -%}
        {%- set depth.most = [depth.most, feature['steps'] | length] | max -%}
    {%- endfor -%}
    {{ return(depth.most) }}
{% endmacro %}

{#- Features without a step go through as they are; JSON has no NaN for them either. -#}
{% macro _read_feature(feature) %}
    {%- set column = feature_store.quoted(feature['name']) -%}
    {%- if feature['steps'] -%}
        {{ return(feature_store.read_as(column, feature['type'], feature['steps'][0]['kind'])) }}
    {%- endif -%}
    {{ return(feature_store.finite(column) if feature['type'] == 'double' else column) }}
{% endmacro %}

{#- SQL of each parameter, an aggregate over the rows of one level. -#}
{% macro _fit_step(step, column) %}
    {{ return(feature_store['fit_' ~ step['transform']](feature_store._given(step, column), step['options'])) }}
{% endmacro %}

{#- A step with parameters that are columns. -#}
{% macro _fitted_step(step, column) %}
    {%- set parameters = {} -%}
    {%- for name in feature_store._fit_step(step, 'x') -%} {%- do parameters.update({name: column ~ '_' ~ name}) -%} {%- endfor -%}
    {{ return(feature_store._apply_step(step, column, parameters)) }}
{% endmacro %}

{% macro _apply_step(step, column, parameters) %}
    {{ return(feature_store['apply_' ~ step['transform']](feature_store._given(step, column), parameters)) }}
{% endmacro %}

{#- The first step is given what was read; a later one the whole number or the finite double of the one before. -#}
{% macro _given(step, column) %}
    {{ return(feature_store.read_as(column, 'int64', step['kind']) if step['given'] == 'int64' else column) }}
{% endmacro %}

{% macro _parameters_json(step, column) %}
    {%- set parts = {} -%}
    {%- for name in feature_store._fit_step(step, 'x') -%} {%- do parts.update({name: column ~ '_' ~ name}) -%} {%- endfor -%}
    {{ return(feature_store.as_json(parts)) }}
{% endmacro %}
