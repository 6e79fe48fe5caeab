{%- set is_sample = reads_sample('events_path') and reads_sample('labels_path') -%}
{{ config(
    tags=['gate'],
    severity='error' if var('gate_requires_witness', is_sample) else 'warn',
) }}
-- Some label row has an event of its user later on the label's own UTC day. Without one, a join
-- that shows a label its own day would leak nothing here, and the leak test would prove nothing.
-- A warning on data of your own, which may know days only.

with

training as (
    select
        user_id,
        as_of_ts,
        cast({{ add_days('cast(as_of_ts as date)', 1) }} as timestamp) as day_ends
    from {{ ref('training_data') }}
),

witnesses as (
    select training.user_id
    from training
    inner join {{ ref('stg_events') }} as events
        on
            training.user_id = events.user_id
            and training.as_of_ts <= events.ts
            and training.day_ends > events.ts
)

select
    'no label has an event of its user at or after it on its own UTC day, '
    'so the leak test could not fail here' as problem,
    count(*) as label_rows
from training
having count(*) > 0 and not exists (select 1 from witnesses)
