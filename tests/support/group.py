"""The sample group as the registry has it, and groups like it, where no dbt runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from materializer.offline.schema import iceberg_schema
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


def make_group(
    name: str = GROUP.name,
    columns: Mapping[str, str] | Sequence[Column] = GROUP.columns,
    **changed: Any,
) -> FeatureGroup:
    """
    Return the sample group with some fields changed.

    Args:
        name: Its name; of another than the sample's, id, relation and key prefix are made.
        columns: Columns, or the type of each column by name.
        changed: Other fields of `FeatureGroup`.
    """
    if isinstance(columns, Mapping):
        columns = [Column(column, kind) for column, kind in columns.items()]
    named = {
        "unique_id": f"model.feature_store.{name}",
        "relation_name": f'"warehouse"."feature_store"."{name}"',
        "key_prefix": "features" if name == GROUP.name else f"features:{name}",
    }
    return replace(GROUP, name=name, columns=tuple(columns), **{**named, **changed})


def arrow_schema(group: FeatureGroup) -> pa.Schema:
    """Return the Arrow schema of a group's rows."""
    return iceberg_schema(group.columns).as_arrow()


def rows_table(group: FeatureGroup, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Make a group's rows a table; a column that a row lacks is null."""
    return pa.Table.from_pylist(list(rows), schema=arrow_schema(group))
