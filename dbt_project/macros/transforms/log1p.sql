{% macro fit_log1p(x, options) %}{{ return({}) }}{% endmacro %}

{#- ln(1 + x) alone loses the digits of a small x. What 1 + x lost in rounding is put right by the quotient
    (Goldberg, What every computer scientist should know about floating-point arithmetic, theorem 4). -#}
{% macro apply_log1p(x, parameters) %}
    {%- set more = '(cast(1 as double) + ' ~ x ~ ')' -%}
    {{ return(
        'case when ' ~ more ~ ' <= 0 then null when ' ~ more ~ ' = 1 then ' ~ x
        ~ ' else ' ~ feature_store.finite('ln(' ~ more ~ ') * (' ~ x ~ ' / (' ~ more ~ ' - 1))') ~ ' end'
    ) }}
{% endmacro %}
