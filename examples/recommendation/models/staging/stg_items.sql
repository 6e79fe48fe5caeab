-- One row per change of an item: the sample in seeds/, or the files of `items_path`.
{%- set sample = ref('items') if var('items_path', none) is none else none %}

select
    try_cast(item_id as bigint) as item_id,
    category,
    cast(price as decimal(10, 2)) as price,
    cast(is_new as boolean) as is_new,
    restocked_at,
    cast(string_split(tags, '|') as varchar []) as tags,
    cast(string_split(embedding, '|') as double []) as embedding,
    changed_at
from {{ feature_store.read_input('items_path', sample, {
    'item_id': 'text',
    'category': 'text',
    'price': 'text',
    'is_new': 'text',
    'restocked_at': 'time',
    'tags': 'text',
    'embedding': 'text',
    'changed_at': 'time',
}) }} as input
