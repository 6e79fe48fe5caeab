-- One row per user_activity, with what was known of its user and item when it began.
{{ feature_store.point_in_time_join(
    spine=ref('user_activity'),
    time='available_at',
    columns=['user_id', 'item_id', 'available_at', 'duration_sec', 'conversion'],
    groups=[
        {
            'group': 'user_profile',
            'on': {'user_id': 'user_id'},
            'columns': ['user_level', 'country', 'changes_so_far'],
        },
        {
            'group': 'item_feature',
            'on': {'item_id': 'item_id'},
            'columns': ['category', 'price', 'is_new', 'embedding'],
        },
    ],
) }}
