{#- Whether a build took a day away, by its reason in the ledger. -#}
{% macro is_removal(reason) -%}
    (coalesce({{ reason }}, '') in ('not over', 'too early'))
{%- endmacro %}
