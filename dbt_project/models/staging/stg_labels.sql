{%- set sample = ref('labels') if reads_sample('labels_path') else none -%}

select
    user_id,
    label,
    as_of_ts
from {{ read_input(
    'labels_path', sample, {'user_id': 'text', 'label': 'number', 'as_of_ts': 'time'}
) }} as labels
