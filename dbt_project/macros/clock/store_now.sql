{#- Python and SQL read the same variable, so a build, a publish and a lookup agree on what is over. -#}
{% macro store_now() %}
    {%- set text = env_var('FEATURE_STORE_NOW', '') | trim -%}
    {%- if not text -%}
        {{ return(run_started_at.replace(tzinfo=none)) }}
    {%- endif -%}
    {%- set pattern = '^(\\d{4}-\\d{2}-\\d{2})(?:[T ](\\d{2}:\\d{2})(:\\d{2}(?:\\.\\d{1,6})?)?(Z|[+-]\\d{2}:\\d{2})?)?$' -%}
    {%- set found = modules.re.match(pattern, text) -%}
    {%- if not found or not feature_store._is_date(found.group(1)) -%}
        {{ exceptions.raise_compiler_error(
            "FEATURE_STORE_NOW=" ~ text ~ " is not an ISO time; write 2024-03-31T00:00:00Z"
        ) }}
    {%- endif -%}
    {%- set zone = found.group(4) or '+00:00' -%}
    {%- set moment = modules.datetime.datetime.fromisoformat(
        found.group(1) ~ 'T' ~ (found.group(2) or '00:00') ~ (found.group(3) or ':00')
        ~ ('+00:00' if zone == 'Z' else zone)
    ) -%}
    {{ return(moment.astimezone(modules.pytz.utc).replace(tzinfo=none)) }}
{% endmacro %}
