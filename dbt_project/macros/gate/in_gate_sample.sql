{#- By the key and not by chance: the same rows are looked at in every run, and a row that failed is looked at
    again. -#}
{% macro in_gate_sample(key) -%}
    {%- set share = feature_store.gate_sample_share() -%}
    {{- feature_store.row_hash(key) ~ ' % 1000000 < ' ~ (share * 1000000) | int if share < 1 else 'true' -}}
{%- endmacro %}
