{% test rows_are_known(model) %}

{{ feature_store.unknown_rows(model) }}

{% endtest %}
