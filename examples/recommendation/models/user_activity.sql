-- One row per (user_id, item_id, available_at): a user looked at an item, for so long.
-- Known from the moment it ended.

with

activity as (
    select
        user_id,
        item_id,
        started_at,
        duration_sec,
        conversion
    from {{ ref('stg_activity') }}
)

select
    user_id,
    item_id,
    cast(started_at as date) as day,
    started_at as available_at,
    duration_sec,
    conversion
from activity
