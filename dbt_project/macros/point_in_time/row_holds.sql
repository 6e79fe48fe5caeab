{#- The same rule in Python is materializer/registry/validity.py, which every reader outside dbt asks; both must change
    together. tests/e2e/test_readers.py compares all readers. -#}
{% macro row_holds(meta, time, available_at, day, is_closing, last_day) %}
    {%- set conditions = [] -%}
    {%- if meta.get('fresh_hours') -%}
        {%- set hours = meta['fresh_hours'] -%}
        {%- if meta.get('closing_row') -%}
            {#- As fresh as a row of the last built day would be: a change since would have made a row. -#}
            {%- set built_since = 'coalesce(' ~ feature_store.days_between(day, last_day) ~ ', 0)' -%}
            {%- set hours = '(' ~ hours ~ ' + 24 * case when ' ~ is_closing ~ ' then ' ~ built_since ~ ' else 0 end)' -%}
        {%- endif -%}
        {%- do conditions.append(time ~ ' < ' ~ feature_store.add_hours(available_at, hours)) -%}
    {%- endif -%}
    {%- if meta.get('ttl_days') -%}
        {%- do conditions.append(time ~ ' < ' ~ feature_store.add_hours(available_at, 24 * meta['ttl_days'])) -%}
    {%- endif -%}
    {{ return(conditions | join(' and ') if conditions else none) }}
{% endmacro %}
