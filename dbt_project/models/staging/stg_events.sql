{%- set input = input_relation('events_path', ref('events_raw') if var('events_path', none) is none else none) -%}
{%- set read = input_columns(input, 'events_raw' if var('events_path', none) is none else 'events_path', {
    'user_id': 'text', 'event_type': 'text', 'ts': 'time'
}) -%}

select
    {{ read['user_id'] }} as user_id,
    {{ read['event_type'] }} as event_type,
    {{ read['ts'] }} as ts
from {{ input }}
