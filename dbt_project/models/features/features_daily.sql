-- One row per (user_id, day): how active a user was in the days up to and including the day.
{{ feature_store.window_features(
    events=ref('stg_events'), entity=['user_id'], time='ts',
    features={
        'event_count_7d': {'count': '*', 'days': 7},
        'event_count_30d': {'count': '*', 'days': 30},
        'last_event_days_ago': {'days_since_last': '*', 'days': 30},
        'event_type_counts': {'count_distinct': 'event_type', 'days': 30},
        'max_event_ts': {'last': 'ts', 'days': 30},
    },
    ingested_at='ingested_at' if has_column(ref('stg_events'), 'ingested_at') else none,
) }}
