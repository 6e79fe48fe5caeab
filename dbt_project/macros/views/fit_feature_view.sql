{#- Step by step: each is fitted on what the steps before it made of the training rows. -#}
{% macro fit_feature_view(view, training_set) %}
    {%- if not execute -%} {{ return('') }} {%- endif -%}
    {%- set definition = feature_store.feature_view_definition(view) -%}
    {%- set features = definition['features'] -%}
    {%- set depth = definition['depth'] %}
with

-- The rows to fit on: no other row may influence a parameter.
level_0 as (
    select
        {%- for feature in features %}
        {{ feature_store._read_feature(feature) }} as feature_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ training_set }}
    where {{ feature_store.quoted(definition['time']) }} < {{ definition['train_until'] }}
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
        {%- set column = 'feature_' ~ feature['position'] -%}
        {%- set step = feature['steps'][level - 1] %}
        {{ feature_store._apply_step(step, column, feature_store._fitted_columns(step, column)) }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from level_{{ level - 1 }}
    cross join fit_{{ level }}
),
{% endif %}
{%- endfor %}
-- The view itself first, then its features.
fitted as (
    {%- for row in feature_store._parameter_rows(definition) %}
    select
        {{ row['position'] }} as position,
        {{ feature_store.as_literal(row.get('feature')) }} as feature,
        {{ row['step'] }} as step,
        {{ feature_store.as_literal(row.get('transform')) }} as transform,
        {{ row['parameters'] }} as parameters,
        {{ 'fitted_on_rows from fit_' ~ row['step'] if row['step'] else '(select count(*) from level_0) as fitted_on_rows' }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
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

{#- A row for each step, and one for a feature without any. -#}
{% macro _parameter_rows(definition) %}
    {%- set rows = [{'position': 0, 'step': 0, 'parameters': feature_store._recorded_definition(definition)}] -%}
    {%- for feature in definition['features'] -%}
        {%- set about = {'position': feature['position'], 'feature': feature['name']} -%}
        {%- for step in feature['steps'] -%}
            {%- set columns = feature_store._fitted_columns(step, 'feature_' ~ feature['position']) -%}
            {%- set parameters = feature_store.as_json(columns) -%}
            {%- do rows.append(dict(about, step=loop.index, transform=step['transform'], parameters=parameters)) -%}
        {%- else -%}
            {%- do rows.append(dict(about, step=0, parameters="'{}'")) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(rows) }}
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

{#- The parameters of a step, each by the column that holds it. -#}
{% macro _fitted_columns(step, column) %}
    {%- set columns = {} -%}
    {%- for name in feature_store._fit_step(step, 'x') -%} {%- do columns.update({name: column ~ '_' ~ name}) -%} {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}

{% macro _apply_step(step, column, parameters) %}
    {{ return(feature_store['apply_' ~ step['transform']](feature_store._given(step, column), parameters)) }}
{% endmacro %}

{#- The first step is given what was read; a later one the whole number or the finite double of the one before. -#}
{% macro _given(step, column) %}
    {{ return(feature_store.read_as(column, 'int64', step['kind']) if step['given'] == 'int64' else column) }}
{% endmacro %}
