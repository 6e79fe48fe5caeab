-- One row per label, duplicates included: the label with the features that were known at its time.
{{ point_in_time_join(
    spine=ref('stg_labels'),
    time='as_of_ts',
    columns=['user_id', 'label', 'as_of_ts'],
    groups=[{
        'group': 'features_daily',
        'on': {'user_id': 'user_id'},
        'columns': [
            'day', 'event_count_7d', 'event_count_30d', 'last_event_days_ago', 'event_type_counts',
            'available_at', 'max_event_ts',
        ],
    }],
) }}
