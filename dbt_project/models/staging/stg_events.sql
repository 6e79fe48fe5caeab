{#- Narrowed: a build opens the files that can hold its days and no others. So each row of the
    view must come from one row of the input, whatever the other rows are. -#}
{%- set sample = ref('events_raw') if reads_sample('events_path') else none -%}

select *
from {{ read_input(
    'events_path',
    sample,
    {'user_id': 'text', 'event_type': 'text', 'ts': 'time'},
    optional={'ingested_at': 'time'},
    narrowed=true,
) }} as events
