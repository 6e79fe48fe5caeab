"""Training sets on demand: a store without dbt, the command on it, and what should come out."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from materializer.config import Settings
from materializer.errors import Expired, LookupMiss, NotYetAvailable, UnknownEntity
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import publish_days
from materializer.registry import Column, FeatureGroup
from tests.support.group import GROUP, rows_table
from tests.support.store import Done, run_here

DAY = timedelta(days=1)
Row = dict[str, Any]

# What is said of a user, day by day: `clicks` of 0 closes.
USERS = replace(
    GROUP,
    name="users",
    columns=(
        Column("user_id", "string"),
        Column("day", "date"),
        Column("clicks", "int64"),
        Column("available_at", "timestamp"),
    ),
)
VISITS = replace(
    GROUP,
    name="visits",
    entity=("visitor", "shop"),
    columns=(
        Column("visitor", "int64"),
        Column("shop", "date"),
        Column("day", "date"),
        Column("minutes", "double"),
        Column("available_at", "timestamp"),
    ),
)


class SetStore:
    """An offline store that no dbt project made, and a folder beside it for files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.catalog = open_catalog(Settings(self.home), environ={})
        self._sequence = 0

    def close(self) -> None:
        self.catalog.close()

    def publish(
        self,
        group: FeatureGroup,
        rows: Iterable[Mapping[str, Any]],
        built: Sequence[date] = (),
    ) -> int:
        """Publish whole days, those of the rows; tell the snapshot."""
        days: dict[date, list[Mapping[str, Any]]] = {}
        for row in rows:
            days.setdefault(row["day"], []).append(row)
        self._sequence += 1
        report = publish_days(
            self.catalog,
            group,
            days=days,
            rows=lambda day: rows_table(group, days[day]),
            warehouse_id="warehouse",
            ledger_sequence=self._sequence,
            built_days=built,
            allow_removals=True,
        )
        assert report.snapshot_id is not None
        return report.snapshot_id

    def labels(self, rows: Sequence[Mapping[str, Any]] | pa.Table, name: str = "labels") -> Path:
        """Write labels as Parquet."""
        path = self.folder / f"{name}.parquet"
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
        pq.write_table(table, path)
        return path

    def csv(self, text: str) -> Path:
        """Write labels as CSV."""
        path = self.folder / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def out(self) -> Path:
        """Where training sets go."""
        return self.folder / "set.parquet"

    @property
    def receipt(self) -> Path:
        """The receipt of the set."""
        return self.folder / "set.parquet.receipt.json"

    def make(self, labels: Path, groups: str, *options: str) -> Done:
        """Run `materializer training-set`."""
        return self.do(
            "training-set",
            *("--labels", str(labels), "--groups", groups, "--out", str(self.out), *options),
        )

    def rows(self, labels: Path, groups: str, *options: str) -> list[Row]:
        """Make a training set, and read it."""
        self.make(labels, groups, *options, "--force").assert_code(0)
        found: list[Row] = pq.read_table(self.out).to_pylist()
        return found

    def verify(self) -> Done:
        """Run `materializer verify-training` on the receipt."""
        return self.do("verify-training", str(self.receipt))

    def tags(self, group: str) -> dict[str, int]:
        """Tell the tags of a group's table, and their snapshots."""
        refs = self.catalog.load_table(f"feature_store.{group}").metadata.refs
        return {name: ref.snapshot_id for name, ref in refs.items() if name != "main"}

    def do(self, *args: str) -> Done:
        """Run a command of the materializer in this process."""
        others = ("PYICEBERG_", "FEATURE_STORE_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return run_here(args, {**env, "FEATURE_STORE_HOME": str(self.home)})


def clicks(user: str, day: date, count: int, at: datetime | None = None) -> Row:
    """Make a row of `users`, available at the midnight after its day."""
    midnight = datetime(day.year, day.month, day.day) + DAY
    return {"user_id": user, "day": day, "clicks": count, "available_at": at or midnight}


def visit(visitor: int, shop: date, day: date, minutes: float, at: datetime) -> Row:
    """Make a row of `visits`."""
    row = {"visitor": visitor, "shop": shop, "day": day, "minutes": minutes}
    return {**row, "available_at": at}


def seen(
    group: FeatureGroup, rows: Sequence[Row], key: Row, at: datetime, built: Iterable[date] = ()
) -> Row:
    """Tell what a label sees of a group: its columns that are no keys."""
    mine = [row for row in rows if all(row[k] == v for k, v in key.items())]
    row = row_at(group, mine, at, built)
    names = [c.name for c in group.columns if c.name not in group.entity]
    return {name: row[name] if isinstance(row, dict) else None for name in names}


def row_at(
    group: FeatureGroup, rows: Sequence[Row], at: datetime, built: Iterable[date] = ()
) -> Row | type[LookupMiss]:
    """Tell the row of an entity at a time, of all that it has, or why there is none."""
    if not rows:
        return UnknownEntity
    known = [row for row in rows if row["available_at"] <= at]
    if not known:
        return NotYetAvailable
    order = [group.event_time or group.available_at, group.available_at]
    row = max(known, key=lambda one: [one[name] for name in order])
    ends = [datetime.max]
    if group.ttl_days is not None:
        ends.append(row["available_at"] + group.ttl_days * DAY)
    if group.fresh_hours is not None:
        last, days = row["day"], set(built)
        while group.closing_row and row["clicks"] == 0 and last in days and last + DAY in days:
            last += DAY
        fresh = timedelta(hours=group.fresh_hours)
        ends.append(row["available_at"] + (last - row["day"]) + fresh)
    return row if at < min(ends) else Expired
