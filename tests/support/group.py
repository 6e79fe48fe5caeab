"""The first feature group as the registry has it, for tests and benchmarks that run no dbt."""

from __future__ import annotations

from materializer.registry import Column, FeatureGroup

GROUP = FeatureGroup(
    name="features_daily",
    unique_id="model.feature_store.features_daily",
    relation_name='"warehouse"."feature_store"."features_daily"',
    description="One row per (user_id, day).",
    entity=("user_id",),
    available_at="available_at",
    availability_lag_hours=0,
    partition="day",
    online=True,
    key_prefix="features",
    ttl_days=None,
    max_age_hours=30,
    owner=None,
    columns=(
        Column("user_id", "string"),
        Column("day", "date"),
        Column("event_count_7d", "int64"),
        Column("event_count_30d", "int64"),
        Column("last_event_days_ago", "int64"),
        Column("event_type_counts", "string"),
        Column("available_at", "timestamp"),
        Column("max_event_ts", "timestamp", online=False),
    ),
)
