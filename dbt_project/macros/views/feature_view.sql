{#- The parameters are in the SQL itself, so that a receipt keeps all of a build. -#}
{% macro feature_view(training_set, parameters) %}
    {%- if not execute -%} {{ return('') }} {%- endif -%}
    {%- set definition = feature_store.feature_view_definition(model.name) -%}
    {%- set features = definition['features'] -%}
    {%- set known = feature_store._fitted_parameters(definition, parameters) -%}
    {%- set depth = definition['depth'] -%}
    {%- set carried = feature_store.quoted_list(definition['keys'] + [definition['time'], definition['label'], 'split']) %}
with

level_0 as (
    select
        {%- for name in carried[:-1] %}
        {{ name }},
        {%- endfor %}
        case when {{ feature_store.quoted(definition['time']) }} < {{ definition['train_until'] }} then 'train' else 'holdout' end as split
        {%- for feature in features %},
        {{ feature_store._read_feature(feature) }} as feature_{{ loop.index }}
        {%- endfor %}
    from {{ training_set }}
)
{%- for level in range(1, depth + 1) %},

level_{{ level }} as (
    select
        {{ carried | join(',\n        ') }}
        {%- for feature in features %},
        {{ feature_store._known_step(feature, level, 'feature_' ~ loop.index, known) }} as feature_{{ loop.index }}
        {%- endfor %}
    from level_{{ level - 1 }}
)
{%- endfor %}

select
    {{ carried | join(',\n    ') }}
    {%- for name, output in feature_store._outputs(definition, known).items() %},
    {{ output }} as {{ feature_store.quoted(name) }}
    {%- endfor %}
from level_{{ depth }}
{% endmacro %}

{#- Feature, then step, to the parameters that were fitted; empty before the first build. -#}
{% macro _fitted_parameters(definition, parameters) %}
    {%- set known = {} -%}
    {%- if load_relation(parameters) is none -%} {{ return(known) }} {%- endif -%}
    {%- set rows = run_query(
        'select feature, step, transform, parameters, fitted_on_rows from ' ~ parameters ~ ' where position > 0 order by position, step'
    ).rows -%}
    {%- for row in rows -%}
        {%- if not row[4] -%}
            {{ exceptions.raise_compiler_error(
                'feature view ' ~ definition['name'] ~ ': no row of ' ~ definition['training_set'] ~ ' is before train_until, '
                ~ definition['train_until'] ~ '; there is nothing to fit on'
            ) }}
        {%- endif -%}
        {%- do known.setdefault(row[0], {}).update({row[1] | int: {'transform': row[2], 'values': fromjson(row[3])}}) -%}
    {%- endfor -%}
    {{ return(known) }}
{% endmacro %}

{#- What one level makes of a column; a column whose chain is shorter stays. Categories become columns at the end. -#}
{% macro _known_step(feature, level, column, known) %}
    {%- if feature['steps'] | length < level or feature['steps'][level - 1]['transform'] == 'one_hot_encode' -%}
        {{ return(column) }}
    {%- endif -%}
    {%- set step = feature['steps'][level - 1] -%}
    {%- set parameters = {} -%}
    {%- for name, value in feature_store._values_of(feature, level, known).items() -%}
        {%- set type = 'varchar' if step['kind'] == 'category' else 'double' -%}
        {%- do parameters.update({name: feature_store.as_literal(value, type)}) -%}
    {%- endfor -%}
    {{ return(feature_store._apply_step(step, column, parameters)) }}
{% endmacro %}

{#- Before the first build nothing is fitted, and compiling must not need it. -#}
{% macro _values_of(feature, level, known) %}
    {%- if feature['name'] in known -%} {{ return(known[feature['name']][level]['values']) }} {%- endif -%}
    {%- set unknown = {} -%}
    {%- for name in feature_store._fit_step(feature['steps'][level - 1], 'x') -%}
        {%- do unknown.update({name: [] if name in ['categories', 'boundaries'] else none}) -%}
    {%- endfor -%}
    {{ return(unknown) }}
{% endmacro %}

{#- Name to SQL of every column of the vector, in order. -#}
{% macro _outputs(definition, known) %}
    {%- set outputs = {} -%}
    {%- set taken = {} -%}
    {%- for name in definition['keys'] + [definition['time'], definition['label'], 'split'] -%}
        {%- do taken.update({name | lower: name}) -%}
    {%- endfor -%}
    {%- for feature in definition['features'] -%}
        {%- set column = 'feature_' ~ loop.index -%}
        {%- set last = feature['steps'][-1] if feature['steps'] else {} -%}
        {%- set made = {feature['name']: column} -%}
        {%- if last.get('transform') == 'one_hot_encode' -%}
            {%- set made = {} -%}
            {%- set x = feature_store._given(last, column) -%}
            {%- for category in feature_store._values_of(feature, feature['steps'] | length, known)['categories'] -%}
                {%- do made.update({feature['name'] ~ '__' ~ category: feature_store.apply_one_hot_encode(x, category)}) -%}
            {%- endfor -%}
        {%- endif -%}
        {%- for name, sql in made.items() -%}
            {%- if name | lower in taken -%}
                {{ exceptions.raise_compiler_error(
                    'feature view ' ~ definition['name'] ~ ': ' ~ taken[name | lower] ~ ' and ' ~ name
                    ~ ' would be one column; give one_hot_encode its categories, or clean the column before'
                ) }}
            {%- endif -%}
            {%- do taken.update({name | lower: name}) -%}
            {%- do outputs.update({name: sql}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(outputs) }}
{% endmacro %}
