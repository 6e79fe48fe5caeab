-- One row per (user_id, available_at): what a user's profile was from then on.

with

profiles as (
    select
        user_id,
        user_level,
        country,
        signed_up_on,
        changed_at
    from {{ ref('stg_profiles') }}
)

select
    user_id,
    cast(changed_at as date) as day,
    changed_at as available_at,
    user_level,
    country,
    signed_up_on,
    count(*) over (
        partition by user_id order by changed_at
        rows between unbounded preceding and current row
    ) - 1 as changes_so_far
from profiles
