-- One row per change of an item: the sample in seeds/, or the files of `items_path`.
{%- set is_sample = var('items_path', none) is none -%}
{%- set input = feature_store.input_relation('items_path', ref('items') if is_sample else none) -%}
{%- set read = feature_store.input_columns(input, 'items' if is_sample else 'items_path', {
    'item_id': 'text',
    'category': 'text',
    'price': 'text',
    'is_new': 'text',
    'restocked_at': 'time',
    'tags': 'text',
    'embedding': 'text',
    'changed_at': 'time',
}) %}

select
    try_cast({{ read['item_id'] }} as bigint) as item_id,
    {{ read['category'] }} as category,
    cast({{ read['price'] }} as decimal(10, 2)) as price,
    cast({{ read['is_new'] }} as boolean) as is_new,
    {{ read['restocked_at'] }} as restocked_at,
    cast(string_split({{ read['tags'] }}, '|') as varchar []) as tags,
    cast(string_split({{ read['embedding'] }}, '|') as double []) as embedding,
    {{ read['changed_at'] }} as changed_at
from {{ input }}
