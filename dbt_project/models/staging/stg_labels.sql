{%- set sample = ref('labels') if var('labels_path', none) is none else none -%}

select
    user_id,
    label,
    as_of_ts
from {{ read_input(
    'labels_path', sample, {'user_id': 'text', 'label': 'number', 'as_of_ts': 'time'}
) }} as labels
