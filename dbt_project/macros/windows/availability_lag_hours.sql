{% macro availability_lag_hours() %}
    {%- set declared = (model.config.meta.get('feature_group') or {}).get('availability_lag_hours', 0) -%}
    {%- set given = var('availability_lag_hours', none) -%}
    {%- set hours = declared if given is none else given -%}
    {%- if not modules.re.match('^-?\\d{1,5}$', hours | string) -%}
        {{ exceptions.raise_compiler_error(
            "availability_lag_hours: " ~ hours ~ " is not a whole number of hours; write 6"
        ) }}
    {%- endif -%}
    {{ return(hours | int) }}
{% endmacro %}
