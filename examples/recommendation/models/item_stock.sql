-- One row per (item_id, dbt_valid_from): an item in the stock list, from when we saw it.
-- Without dbt_valid_to: it is written into the row later, when the next one comes.

with

seen as (
    select
        item_id,
        units,
        delivery_days,
        dbt_is_deleted = 'False' as is_listed,
        dbt_valid_from
    from {{ ref('stock_seen') }}
)

select
    item_id,
    cast(dbt_valid_from as date) as day,
    dbt_valid_from,
    is_listed,
    case when is_listed then units end as units,
    case when is_listed then delivery_days end as delivery_days
from seen
