{% macro cast_or_refuse(x, type, message) %}{{ return(adapter.dispatch('cast_or_refuse', 'feature_store')(x, type, message)) }}{% endmacro %}

{% macro duckdb__cast_or_refuse(x, type, message) -%}
    case when {{ x }} is not null and try_cast({{ x }} as {{ type }}) is null then {{ feature_store.refuse(message) }} else try_cast({{ x }} as {{ type }}) end
{%- endmacro %}
