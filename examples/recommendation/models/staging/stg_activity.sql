-- One row per view of an item by a user: the sample in seeds/, or the files of `activity_path`.
{%- set sample = ref('activity') if var('activity_path', none) is none else none %}

select
    try_cast(user_id as bigint) as user_id,
    try_cast(item_id as bigint) as item_id,
    try_cast(conversion as bigint) as conversion,
    cast(duration_sec as double) as duration_sec,
    started_at
from {{ feature_store.read_input('activity_path', sample, {
    'user_id': 'text',
    'item_id': 'text',
    'started_at': 'time',
    'duration_sec': 'text',
    'conversion': 'text',
}) }} as input
