{#- A parameter that saw a row of the holdout leaks it to the model. The SQL on record runs again where no
    such row is to be had. -#}
{% test fitted_on_training_rows(model, view) %}

{%- set columns = ['position', 'feature', 'step', 'transform', 'parameters', 'fitted_on_rows'] -%}
{%- set again = none -%}
{%- if execute and load_relation(model) is not none -%}
    {%- set definition = feature_store.feature_view_definition(view) -%}
    {%- set again = feature_store._built_sql(feature_store.model_id(model.identifier))
        | replace(definition['rows'], '_training_rows') -%}
{%- endif %}

with

{% if again %}
_training_rows as (
    select * from {{ definition['rows'] }}
    where {{ feature_store.quoted(definition['time']) }} < {{ definition['train_until'] }}
),
{% endif %}
again as (
    select {{ columns | join(', ') }} from {{ '(' ~ again ~ ') as built' if again else model }}
),

current_rows as (
    select {{ columns | join(', ') }} from {{ model }}
),

differing as (
    select position, feature, step from (select * from again except all select * from current_rows) as missing
    union
    select position, feature, step from (select * from current_rows except all select * from again) as surplus
)

select
    position,
    step,
    concat(
        'step ', cast(step as varchar), ' of feature ', feature,
        ' was not fitted on the rows before train_until alone; build the training set, the parameters and the view again'
    ) as problem
from differing

{% endtest %}
