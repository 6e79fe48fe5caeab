{#- Of the whole project and its packages, whatever the command selects. Written only when something changed: every
    command comes here. A command that is killed in between leaves no test, and so nothing may be published. -#}
{% macro record_gate_tests() %}
    {%- set relation = feature_store.record('gate_tests') -%}
    {%- set declared = feature_store._declared_gate_tests() -%}
    {%- set recorded = [] -%}
    {%- for row in run_query('select model, test, name, is_published from ' ~ relation).rows -%}
        {%- do recorded.append(feature_store._gate_test_row(row[0], row[1], row[2], row[3])) -%}
    {%- endfor -%}
    {%- if declared | sort != recorded | sort -%}
        {%- do run_query('delete from ' ~ relation) -%}
        {%- if declared -%}
            {%- do run_query('insert into ' ~ relation ~ ' (model, test, name, is_published) values ' ~ declared | join(', ')) -%}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#- One row per model and test that refs it; without a test for a published model that no test refs. -#}
{% macro _declared_gate_tests() %}
    {%- set published = feature_store._published_models() -%}
    {%- set rows, guarded = [], {} -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test' and 'gate' in test.tags -%}
        {%- for id in test.depends_on.nodes if id.startswith('model.') -%}
            {%- do guarded.update({id: true}) -%}
            {%- do rows.append(feature_store._gate_test_row(id, test.unique_id, test.name, id in published)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for id in published if id not in guarded -%}
        {%- do rows.append(feature_store._gate_test_row(id, none, none, true)) -%}
    {%- endfor -%}
    {{ return(rows) }}
{% endmacro %}

{#- Feature groups, training sets, feature views, and with a view the models of its parameters and its rows. -#}
{% macro _published_models() %}
    {%- set found = {} -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- set meta = node.config.meta -%}
        {%- if 'feature_group' in meta or 'training_set' in meta or 'feature_view' in meta -%}
            {%- do found.update({node.unique_id: true}) -%}
        {%- endif -%}
        {%- if 'feature_view' in meta -%}
            {%- for id in node.depends_on.nodes if id.startswith('model.') -%} {%- do found.update({id: true}) -%} {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{% macro _gate_test_row(model, test, name, is_published) %}
    {%- set values = [] -%}
    {%- for text in [model, test, name] -%}
        {%- do values.append('null' if text is none else feature_store.text_literal(text)) -%}
    {%- endfor -%}
    {{ return('(' ~ values | join(', ') ~ ', ' ~ ('true' if is_published else 'false') ~ ')') }}
{% endmacro %}
