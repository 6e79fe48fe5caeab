-- One row per view of an item by a user: the sample in seeds/, or the files of `activity_path`.
{%- set is_sample = var('activity_path', none) is none -%}
{%- set input = feature_store.input_relation('activity_path', ref('activity') if is_sample else none) -%}
{%- set read = feature_store.input_columns(input, 'activity' if is_sample else 'activity_path', {
    'user_id': 'text',
    'item_id': 'text',
    'started_at': 'time',
    'duration_sec': 'text',
    'conversion': 'text',
}) %}

select
    try_cast({{ read['user_id'] }} as bigint) as user_id,
    try_cast({{ read['item_id'] }} as bigint) as item_id,
    try_cast({{ read['conversion'] }} as bigint) as conversion,
    cast({{ read['duration_sec'] }} as double) as duration_sec,
    {{ read['started_at'] }} as started_at
from {{ input }}
