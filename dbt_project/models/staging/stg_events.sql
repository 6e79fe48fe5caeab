{%- set is_sample = var('events_path', none) is none -%}
{#- Narrowed: a build opens the files that can hold its days and no others. So each row of the
    view must come from one row of the input, whatever the other rows are. -#}
{%- set sample = ref('events_raw') if is_sample else none -%}
{%- set input = input_relation('events_path', sample, narrowed=true) -%}
{%- set read = input_columns(
    input,
    'events_raw' if is_sample else 'events_path',
    {'user_id': 'text', 'event_type': 'text', 'ts': 'time'},
    optional={'ingested_at': 'time'},
) -%}

select
    {{ read['user_id'] }} as user_id,
    {{ read['event_type'] }} as event_type,
    {% if 'ingested_at' in read -%}
    {{ read['ingested_at'] }} as ingested_at,
    {% endif -%}
    {{ read['ts'] }} as ts
from {{ input }}
