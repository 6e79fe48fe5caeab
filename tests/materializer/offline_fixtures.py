"""What the tests of the offline store share: a small group, its histories, a store of its own."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.offline.activity import update_spans
from materializer.offline.catalog import open_catalog, table_name
from materializer.offline.publish import PublishReport, publish_days
from materializer.registry import FeatureGroup
from tests.support.group import arrow_schema, make_group

EPOCH_DAY = date(2024, 1, 1)

GROUP = make_group(
    columns={
        "user_id": "string",
        "day": "date",
        "event_count_7d": "int64",
        "last_event_days_ago": "int64",
        "event_type_counts": "string",
        "available_at": "timestamp",
    }
)

# An integer may be smaller than the contract has it.
SCHEMA = arrow_schema(GROUP).set(3, pa.field("last_event_days_ago", pa.int32()))

# Which entities have a row on which day, and the value of that row.
History = Mapping[date, Mapping[str, int]]


def day_of(number: int) -> date:
    return EPOCH_DAY + timedelta(days=number)


def midnight_after(day: date, lag_hours: int = 0) -> datetime:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start + timedelta(days=1, hours=lag_hours)


def row_of(entity: str, day: date, value: int, *, lag_hours: int = 0) -> dict[str, object]:
    """Make a whole row as a lookup gives it."""
    return {
        "user_id": entity,
        "day": day,
        "event_count_7d": value,
        "last_event_days_ago": value % 30 or None,
        "event_type_counts": str(value),
        "available_at": midnight_after(day, lag_hours),
    }


def table_of(rows: Iterable[Mapping[str, object]]) -> pa.Table:
    plain = [
        {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in row.items()}
        for row in rows
    ]
    return pa.Table.from_pylist(plain, schema=SCHEMA)


def rows_of(history: History, *, lag_hours: int = 0) -> Callable[[date], pa.Table]:
    def rows(day: date) -> pa.Table:
        # Unsorted on purpose: the order is the publisher's work.
        entities = sorted(history.get(day, {}).items(), key=lambda item: hash(item[0]))
        return table_of(row_of(e, day, value, lag_hours=lag_hours) for e, value in entities)

    return rows


def store(home: Path) -> Catalog:
    return open_catalog(Settings(home), environ={})


def publish(
    catalog: Catalog,
    history: History,
    days: Iterable[date] | None = None,
    *,
    group: FeatureGroup = GROUP,
    sequence: int = 1,
    warehouse: str = "warehouse-1",
    allow_removals: bool = True,
) -> PublishReport:
    return publish_days(
        catalog,
        group,
        days=history if days is None else days,
        rows=rows_of(history, lag_hours=group.availability_lag_hours),
        warehouse_id=warehouse,
        ledger_sequence=sequence,
        allow_removals=allow_removals,
    )


def update(catalog: Catalog) -> None:
    """Let readers see the current snapshot, as the end of a publish does."""
    update_spans(catalog, GROUP, catalog.load_table(table_name(GROUP.name)))


def publish_rows(
    catalog: Catalog, rows: pa.Table, group: FeatureGroup = GROUP, *, day: date | None = None
) -> PublishReport:
    """Publish the days of a table, or all of it as one day."""
    days = rows.column(group.partition)
    return publish_days(
        catalog,
        group,
        days=days.unique().to_pylist() if day is None else [day],
        rows=lambda each: rows.filter(pc.equal(days, each)) if day is None else rows,
        warehouse_id="warehouse-1",
        ledger_sequence=1,
    )


def published_rows(catalog: Catalog, group: FeatureGroup = GROUP) -> list[dict[str, object]]:
    """Read the whole group as any Iceberg reader does, in key order."""
    rows = catalog.load_table(table_name(group.name)).scan().to_arrow().to_pylist()
    return sorted(rows, key=lambda row: (row["day"], row["user_id"]))


def expected_rows(history: History) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = table_of(
        row_of(entity, day, value)
        for day, entities in sorted(history.items())
        for entity, value in sorted(entities.items())
    ).to_pylist()
    return rows


# What a publish finds, and what it brings: one day stays, others change, go and come.
OLD = {day_of(n): {f"u{i}": 10 * n + i for i in range(4)} for n in range(5)}
NEW = {
    day_of(1): {"u1": 91, "u7": 97},
    day_of(2): {},
    day_of(4): {f"u{i}": 400 + i for i in range(6)},
    day_of(5): {"u0": 50},
    day_of(7): {"u9": 70},
}
