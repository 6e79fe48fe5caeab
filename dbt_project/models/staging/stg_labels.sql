{%- set is_sample = var('labels_path', none) is none -%}
{%- set input = input_relation('labels_path', ref('labels') if is_sample else none) -%}
{%- set read = input_columns(input, 'labels' if is_sample else 'labels_path', {
    'user_id': 'text', 'label': 'number', 'as_of_ts': 'time'
}) -%}

select
    {{ read['user_id'] }} as user_id,
    {{ read['label'] }} as label,
    {{ read['as_of_ts'] }} as as_of_ts
from {{ input }}
