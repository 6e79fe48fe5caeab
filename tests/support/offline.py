"""A real offline store of one group, laid out as a publish does, for what reads it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from materializer.config import Settings
from materializer.offline.catalog import (
    FIRST_DAY,
    GROUP_SNAPSHOT_ID,
    LAST_DAY,
    REGISTRY,
    ensure_store,
    open_catalog,
    spans_name,
    table_name,
)
from materializer.registry import FeatureGroup

Row = Mapping[str, Any]

_ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


class Offline:
    """An offline store with one group, laid out as `publish` does."""

    def __init__(self, home: Path, group: FeatureGroup) -> None:
        self.settings = Settings(home=home)
        self.catalog: Catalog = open_catalog(self.settings)
        self.group = group
        self.store_id = ensure_store(self.catalog)

    def close(self) -> None:
        self.catalog.close()

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the group's table."""
        return pa.schema(
            [
                pa.field(column.name, _ARROW.get(column.type) or _decimal(column.type))
                for column in self.group.columns
            ]
        )

    @property
    def table(self) -> Table:
        """The group's table, made when it is not there."""
        name = table_name(self.group.name)
        if self.catalog.table_exists(name):
            return self.catalog.load_table(name)
        made = self.catalog.create_table(name, schema=self.arrow)
        with made.update_spec() as update:
            update.add_identity(self.group.partition)
        return self.catalog.load_table(name)

    def publish(self, days: Mapping[str, Sequence[Row]], *, spans: bool = True) -> int:
        """
        Replace whole days.

        Args:
            days: Day -> its rows, without the partition column; an empty day is removed.
            spans: Also say, as the last step of a publish does, that readers may see it.

        Returns:
            The snapshot made.
        """
        rows = [
            {self.group.partition: date.fromisoformat(day), **row}
            for day, some in days.items()
            for row in some
        ]
        data = pa.Table.from_pylist(rows, schema=self.arrow)
        if self.table.current_snapshot() is None:
            self.table.append(data)
        else:
            wanted = ", ".join(f"'{day}'" for day in days)
            with warnings.catch_warnings():
                # PyIceberg warns of replacing a day that was not there.
                warnings.simplefilter("ignore", UserWarning)
                self.table.overwrite(data, overwrite_filter=f"{self.group.partition} in ({wanted})")
        snapshot = self.table.current_snapshot()
        assert snapshot is not None
        if spans:
            self.show(snapshot.snapshot_id)
        return snapshot.snapshot_id

    def show(self, snapshot_id: int) -> None:
        """Commit the spans of a snapshot, which name it."""
        name = spans_name(self.group.name)
        keys = [*self.group.entity]
        scan = self.table.scan(
            selected_fields=(*keys, self.group.partition), snapshot_id=snapshot_id
        )
        found = _spans(scan.to_arrow(), keys, self.group.partition)
        if not self.catalog.table_exists(name):
            self.catalog.create_table(name, schema=found.schema)
        table = self.catalog.load_table(name)
        with warnings.catch_warnings(), table.transaction() as transaction:
            # PyIceberg warns of replacing what was not there.
            warnings.simplefilter("ignore", UserWarning)
            transaction.overwrite(found, snapshot_properties={GROUP_SNAPSHOT_ID: str(snapshot_id)})
            transaction.set_properties({REGISTRY: self.group.to_json()})


def _spans(rows: pa.Table, keys: Sequence[str], partition: str) -> pa.Table:
    """Find each entity's runs of consecutive days, in plain Python."""
    days: dict[tuple[Any, ...], set[date]] = {}
    for row in rows.to_pylist():
        days.setdefault(tuple(row[key] for key in keys), set()).add(row[partition])
    one = timedelta(days=1)
    spans = []
    for key, there in days.items():
        first = [day for day in sorted(there) if day - one not in there]
        last = [day for day in sorted(there) if day + one not in there]
        spans += [(*key, *ends) for ends in zip(first, last, strict=True)]
    columns = [*keys, FIRST_DAY, LAST_DAY]
    schema = pa.schema(
        [*(rows.schema.field(key) for key in keys), *((end, pa.date32()) for end in columns[-2:])]
    )
    return pa.Table.from_pylist([dict(zip(columns, span, strict=True)) for span in spans], schema)


def _decimal(kind: str) -> pa.DataType:
    precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
    return pa.decimal128(int(precision), int(scale))


def rows(day: str, **clicks: int) -> list[Row]:
    """Make one row per user, available at the midnight after the day."""
    available_at = datetime.fromisoformat(day) + timedelta(days=1)
    return [
        {"user_id": user, "clicks": count, "available_at": available_at}
        for user, count in clicks.items()
    ]


def at(text: str) -> datetime:
    """Read a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
