-- One row per change of a user's profile: the sample in seeds/, or the files of `profiles_path`.
{%- set is_sample = var('profiles_path', none) is none -%}
{%- set input = feature_store.input_relation('profiles_path', ref('profiles') if is_sample else none) -%}
{%- set read = feature_store.input_columns(input, 'profiles' if is_sample else 'profiles_path', {
    'user_id': 'text',
    'user_level': 'text',
    'country': 'text',
    'signed_up_on': 'time',
    'changed_at': 'time',
}) %}

select
    try_cast({{ read['user_id'] }} as bigint) as user_id,
    {{ read['user_level'] }} as user_level,
    {{ read['country'] }} as country,
    cast({{ read['signed_up_on'] }} as date) as signed_up_on,
    {{ read['changed_at'] }} as changed_at
from {{ input }}
