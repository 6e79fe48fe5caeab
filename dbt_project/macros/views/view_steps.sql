{#- The steps of each feature, by its name, in order: what each is given and how it reads that. -#}
{% macro _view_steps(node, meta, names, types) %}
    {%- set chains, given = {}, {} -%}
    {%- for name in names -%}
        {%- do chains.update({name: []}) -%}
        {%- do given.update({name: types[name]}) -%}
    {%- endfor -%}
    {%- for step in meta.get('transforms') or [] -%}
        {%- set transform, name = step.get('type'), step.get('column') -%}
        {%- set key = 'transforms[' ~ loop.index0 ~ ']' -%}
        {%- set about = feature_store.transforms().get(transform) -%}
        {%- if about is none -%}
            {{ feature_store._bad_view(node, key, 'unknown type ' ~ transform ~ '; known: ' ~ feature_store.transforms().keys() | join(', ')) }}
        {%- elif name not in names -%}
            {{ feature_store._bad_view(node, key, transform ~ ' of ' ~ name ~ ': no such feature; there are ' ~ names | join(', ')) }}
        {%- endif -%}
        {%- set kind = about['takes'] -%}
        {%- if kind == 'any' -%} {%- set kind = 'category' if given[name] == 'string' else 'number' -%} {%- endif -%}
        {%- set problem = feature_store._step_problem(step, given[name], kind) -%}
        {%- if problem -%} {{ feature_store._bad_view(node, key, transform ~ ' of ' ~ name ~ ': ' ~ problem) }} {%- endif -%}
        {#- Between steps only whole numbers have to be read; the first step is given what was read already. -#}
        {%- do chains[name].append({
            'transform': transform, 'options': step, 'given': given[name] if chains[name] else none, 'kind': kind,
        }) -%}
        {%- set made = ('string' if kind == 'category' else 'double') if about['gives'] == 'same' else about['gives'] -%}
        {%- do given.update({name: made}) -%}
    {%- endfor -%}
    {{ return(chains) }}
{% endmacro %}

{#- Why a step cannot be applied to a column of a type; none when it can. -#}
{% macro _step_problem(step, given, kind) %}
    {%- set known = feature_store.transforms()[step['type']]['options'] -%}
    {%- if given is none -%} {{ return('nothing can follow one_hot_encode') }} {%- endif -%}
    {%- for name in step if name not in known + ['type', 'column'] -%}
        {{ return('unknown option ' ~ name ~ '; known: ' ~ (known | join(', ') or 'none')) }}
    {%- endfor -%}
    {%- if feature_store.read_as('x', given, kind) is none -%}
        {{ return('a ' ~ kind ~ ' is needed, and the column is ' ~ given) }}
    {%- elif step['type'] == 'clip' -%} {{ return(feature_store._clip_problem(step.get('min'), step.get('max'))) }}
    {%- elif step['type'] == 'bucketize' -%} {{ return(feature_store._boundaries_problem(step.get('boundaries'))) }}
    {%- elif step['type'] == 'impute' -%} {{ return(feature_store._impute_problem(step.get('with'), step.get('value'), given)) }}
    {%- elif step.get('categories') is not none -%} {{ return(feature_store._categories_problem(step['categories'])) }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}

{#- Of a NaN both comparisons are false, and a whole number may be larger than any double. -#}
{% macro _is_finite(value) %}
    {%- set largest = 1.7976931348623157e308 -%}
    {{ return(value is number and value is not boolean and value <= largest and value >= -largest) }}
{% endmacro %}

{% macro _clip_problem(low, high) %}
    {%- if low is none and high is none -%} {{ return('needs min, max or both') }} {%- endif -%}
    {%- for bound in [low, high] if bound is not none and not feature_store._is_finite(bound) -%}
        {{ return('min and max are numbers') }}
    {%- endfor -%}
    {{ return('min is above max' if low is not none and high is not none and low > high else none) }}
{% endmacro %}

{% macro _boundaries_problem(boundaries) %}
    {%- if not boundaries or boundaries is string or boundaries is not sequence -%}
        {{ return('needs boundaries, a list of numbers') }}
    {%- endif -%}
    {%- for boundary in boundaries -%}
        {%- if not feature_store._is_finite(boundary) -%} {{ return('needs boundaries, a list of numbers') }}
        {%- elif not loop.first and loop.previtem >= boundary -%} {{ return('boundaries must ascend') }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{% endmacro %}

{% macro _impute_problem(how, value, given) %}
    {%- if how not in ['mean', 'median', 'constant'] -%} {{ return('needs with: mean, median or constant') }}
    {%- elif (how == 'constant') != (value is not none) -%}
        {{ return('value belongs to with: constant, and it needs one') }}
    {%- elif value is none -%} {{ return('a number is needed, and the column is string' if given == 'string' else none) }}
    {%- elif value is not string and value is not boolean and not feature_store._is_finite(value) -%}
        {{ return('value is a number, a string, true or false') }}
    {%- elif (value is string) != (given == 'string') -%} {{ return('value ' ~ value ~ ' is not of its type') }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}

{% macro _categories_problem(categories) %}
    {%- if not categories or categories is string or categories is not sequence -%}
        {{ return('categories should be a list') }}
    {%- endif -%}
    {%- for category in categories if not (category is string or category is number) -%}
        {{ return('a category is a string, a number, true or false') }}
    {%- endfor -%}
    {%- set texts = feature_store.category_texts(categories) -%}
    {{ return('a category is named twice' if texts | unique(case_sensitive=true) | list | length < texts | length else none) }}
{% endmacro %}
