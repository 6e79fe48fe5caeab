-- One row per (item_id, available_at): what was known of an item from then on.

with

items as (
    select
        item_id,
        category,
        price,
        is_new,
        restocked_at,
        tags,
        embedding,
        changed_at
    from {{ ref('stg_items') }}
)

select
    item_id,
    cast(changed_at as date) as day,
    changed_at as available_at,
    category,
    price,
    is_new,
    restocked_at,
    tags,
    embedding
from items
