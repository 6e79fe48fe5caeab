{#- As it is: `--empty` and `--sample` limit what a model reads, and a record is no input. -#}
{% macro record(name) %}
    {{ return(source('records', name).incorporate(limit=none, event_time_filter=none)) }}
{% endmacro %}
