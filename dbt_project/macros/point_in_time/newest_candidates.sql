{#- Its twin is candidates_sql in materializer/registry/validity.py. Rows of one moment are of one frame. -#}
{% macro newest_candidates(relation, keys, available_at, event_time) %}
    {%- if not event_time -%} {{ return(relation) }} {%- endif -%}
    {%- set newest = 'max(' ~ event_time ~ ') over (partition by ' ~ keys | join(', ') ~ ' order by ' ~ available_at ~ ')' -%}
    {{ return(
        '(select * from (select *, ' ~ newest ~ ' as newest_event_time from ' ~ relation ~ ') as known where '
        ~ event_time ~ ' >= newest_event_time) as candidates'
    ) }}
{% endmacro %}
