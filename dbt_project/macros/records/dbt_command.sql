{#- The one place where a command to run is written. -#}
{% macro dbt_command(verb, options='', select=none, first=none, last=none) %}
    {%- set start = 'dbt ' ~ verb ~ (' ' ~ options if options else '') -%}
    {%- set parts = [feature_store.text_literal(start)] -%}
    {%- if select -%} {%- set parts = [feature_store.text_literal(start ~ ' --select '), select] -%} {%- endif -%}
    {%- if first -%}
        {%- set given = feature_store._arguments('<first>', '<last>') -%}
        {%- set before, _, rest = given.partition('<first>') -%}
        {%- set between, _, after = rest.partition('<last>') -%}
        {%- do parts.extend([
            feature_store.text_literal(before), 'cast(' ~ first ~ ' as varchar)',
            feature_store.text_literal(between), 'cast(' ~ last ~ ' as varchar)', feature_store.text_literal(after),
        ]) -%}
    {%- else -%}
        {%- do parts.append(feature_store.text_literal(feature_store._arguments())) -%}
    {%- endif -%}
    {{ return('concat(' ~ parts | join(', ') ~ ')') }}
{% endmacro %}

{#- For a reader that is not dbt: the arguments of its commands. The one of days has `<first>` and `<last>` in their place. -#}
{% macro dbt_arguments() %}
select
    {{ feature_store.text_literal(feature_store._arguments()) }} as arguments,
    {{ feature_store.text_literal(feature_store._arguments('<first>', '<last>')) }} as arguments_of_days
{% endmacro %}

{#- What this command was given, for a shell; a range of days only if one is given here. -#}
{% macro _arguments(first=none, last=none) %}
    {%- set pairs = ['start_date: ' ~ first, 'end_date: ' ~ last] if first else [] -%}
    {%- for name, value in feature_store._given_vars().items() if name not in ['start_date', 'end_date'] -%}
        {%- do pairs.append((name if modules.re.match('^\\w+$', name) else feature_store._yaml(name)) ~ ': ' ~ feature_store._yaml(value)) -%}
    {%- endfor -%}
    {%- set target = invocation_args_dict.get('target') -%}
    {{ return(
        (' --target ' ~ feature_store._shell(target) if target else '')
        ~ (' --vars ' ~ feature_store._shell('{' ~ pairs | join(', ') ~ '}') if pairs else '')
    ) }}
{% endmacro %}

{#- A value as YAML on one line. -#}
{% macro _yaml(value) %}
    {%- set parts = [] -%}
    {%- if value is mapping -%}
        {%- for name, part in value.items() -%} {%- do parts.append(feature_store._yaml(name) ~ ': ' ~ feature_store._yaml(part)) -%} {%- endfor -%}
        {{ return('{' ~ parts | join(', ') ~ '}') }}
    {%- elif value is string -%}
        {#- Not as JSON, whose escapes YAML reads otherwise beyond 16 bits. -#}
        {{ return('"' ~ value | replace('\\', '\\\\') | replace('"', '\\"') | replace('\n', '\\n') ~ '"') }}
    {%- elif value is sequence -%}
        {%- for part in value -%} {%- do parts.append(feature_store._yaml(part)) -%} {%- endfor -%}
        {{ return('[' ~ parts | join(', ') ~ ']') }}
    {%- endif -%}
    {{ return(tojson(value)) }}
{% endmacro %}

{% macro _shell(text) %}{{ return("'" ~ text | replace("'", "'\\''") ~ "'") }}{% endmacro %}