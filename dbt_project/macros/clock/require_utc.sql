{#- Else a time without an offset, the day of a time and the current time would be those of the machine, in tables that
    every test finds right. A profile sets it for each session, which a hook could not. -#}
{% macro require_utc() %}
    {%- set zone = feature_store.session_time_zone() -%}
    {%- set names = ['utc', 'uct', 'gmt', 'gmt0', 'gmt+0', 'gmt-0', 'greenwich', 'universal', 'zulu'] -%}
    {%- if zone | lower | replace('etc/', '') not in names -%}
        {{ exceptions.raise_compiler_error(
            "the session's time zone is " ~ zone ~ ", and times here are UTC; write settings: {TimeZone: UTC} in profiles.yml, "
            ~ "under target " ~ target.name ~ " of profile " ~ target.profile_name
        ) }}
    {%- endif -%}
{% endmacro %}
