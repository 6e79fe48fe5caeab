{#- A day whose window reaches before the first event still kept was built on more than there is now. It is left
    alone, for retention is not deletion. -#}
{% macro is_frozen(day, built_first_day, first_day, window_days) -%}
    ({{ feature_store.add_days(day, '1 - ' ~ window_days) }} < {{ first_day }} and {{ built_first_day }} < {{ first_day }})
{%- endmacro %}
