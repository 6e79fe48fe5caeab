{% macro gate_sample_share() %}
    {%- set share = var('gate_sample_share', 1) -%}
    {%- if not modules.re.match('^(1(\\.0+)?|0?\\.\\d+)$', share | string) or share | float == 0 -%}
        {{ exceptions.raise_compiler_error(
            "gate_sample_share: " ~ share ~ " is not a share above 0 and up to 1; write 0.1"
        ) }}
    {%- endif -%}
    {{ return(share | float) }}
{% endmacro %}
