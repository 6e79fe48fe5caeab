{%- set is_sample = var('events_path', none) is none and var('labels_path', none) is none -%}
{{ config(
    tags=['gate'],
    severity='error' if var('gate_requires_witness', is_sample) else 'warn',
) }}
-- Some label row has an event of its user later on the label's own UTC day. Without one, a join that
-- shows a label its own day would leak nothing here, and the leak test would prove nothing.
-- A warning on data of your own, which may know days only.

select
    count(*) as label_rows,
    'no label has an event of its user at or after it on its own UTC day, so the leak test could not fail here' as problem
from {{ ref('training_data') }}
having count(*) > 0 and not exists (
    select 1
    from {{ ref('training_data') }} as training
    inner join {{ ref('stg_events') }} as events
        on
            training.user_id = events.user_id
            and training.as_of_ts <= events.ts
            and events.ts < cast({{ add_days('cast(training.as_of_ts as date)', 1) }} as timestamp)
)
