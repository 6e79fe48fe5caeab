-- One row per change of a user's profile: the sample in seeds/, or the files of `profiles_path`.
{%- set sample = ref('profiles') if var('profiles_path', none) is none else none %}

select
    try_cast(user_id as bigint) as user_id,
    user_level,
    country,
    cast(signed_up_on as date) as signed_up_on,
    changed_at
from {{ feature_store.read_input('profiles_path', sample, {
    'user_id': 'text',
    'user_level': 'text',
    'country': 'text',
    'signed_up_on': 'time',
    'changed_at': 'time',
}) }} as input
