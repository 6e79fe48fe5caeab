"""A real offline store of one group, for tests of what reads it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from materializer.config import Settings
from materializer.get import read_row
from materializer.offline import publish as publishing
from materializer.offline.activity import update_spans
from materializer.offline.catalog import ensure_store, open_catalog, table_name
from materializer.offline.snapshot import open_snapshot
from materializer.online import codec
from materializer.online.push import Progress, PushOptions, PushReport, push_group
from materializer.online.state import Meta
from materializer.registry import FeatureGroup
from tests.support.group import rows_table

Row = Mapping[str, Any]

FAR = datetime(2030, 1, 1, tzinfo=UTC)


@contextmanager
def catalog_at(home: Path) -> Iterator[Catalog]:
    """Open the offline store of a home, whatever the environment says."""
    catalog = open_catalog(Settings(home), environ={})
    try:
        yield catalog
    finally:
        catalog.close()


class Offline:
    """An offline store with one group."""

    def __init__(self, home: Path, group: FeatureGroup) -> None:
        self.settings = Settings(home=home)
        self.catalog: Catalog = open_catalog(self.settings)
        self.group = group
        self.store_id = ensure_store(self.catalog)

    def close(self) -> None:
        self.catalog.close()

    @property
    def table(self) -> Table:
        """The group's table."""
        return self.catalog.load_table(table_name(self.group.name))

    @property
    def published(self) -> FeatureGroup:
        """The group as it is published."""
        return open_snapshot(self.catalog, self.group.name).group

    def publish(self, days: Mapping[str, Sequence[Row]], *, spans: bool = True) -> int:
        """
        Replace whole days.

        Args:
            days: Day -> its rows, without the partition column; an empty day is removed.
            spans: False leaves what a publish leaves that is killed between its two commits.

        Returns:
            The snapshot made.
        """
        partition = self.group.partition
        with pytest.MonkeyPatch.context() as patch:
            if not spans:
                patch.setattr(publishing, "update_spans", lambda *_: False)
            report = publishing.publish_days(
                self.catalog,
                self.group,
                days=map(date.fromisoformat, days),
                rows=lambda day: rows_table(
                    self.group, ({partition: day, **row} for row in days[str(day)])
                ),
                warehouse_id="warehouse-1",
                ledger_sequence=1,
                allow_removals=True,
            )
        assert report.snapshot_id is not None
        return report.snapshot_id

    def declare(self, group: FeatureGroup) -> None:
        """Publish a changed registry entry, and no row."""
        self.group = replace(group, store_id=self.store_id)
        self.show()

    def push(
        self,
        client: redis.Redis,
        *,
        now: datetime = FAR,
        progress: Progress = lambda done, total: None,
        **options: bool,
    ) -> PushReport:
        """Push what is published; the clock is far ahead unless given."""
        snapshot = open_snapshot(self.catalog, self.group.name)
        return push_group(
            snapshot, client, now=now, options=PushOptions(**options), progress=progress
        )

    def append(self, *rows: Row) -> None:
        """Add rows as another engine may, unchecked; with the partition column."""
        self.table.append(rows_table(self.group, rows))

    def show(self) -> None:
        """Let readers see the current snapshot."""
        update_spans(self.catalog, self.group, self.table)


class Stores(Offline):
    """An offline store with one group, and the online store that it is pushed to."""

    def __init__(self, home: Path, group: FeatureGroup, client: redis.Redis) -> None:
        super().__init__(home, group)
        self.client = client

    def go(self, **options: Any) -> PushReport:
        """Push what is published; see `push`."""
        return self.push(self.client, **options)

    def clicks(self) -> dict[str, Any]:
        """Key -> clicks of every entity online."""
        found = cast("list[bytes]", self.client.keys("*"))
        keys = [key for key in found if not key.startswith(b"features:_")]
        values = cast("list[bytes]", self.client.mget(keys)) if keys else []
        return {
            key.decode(): codec.decode_value(value)[1][1]
            for key, value in zip(keys, values, strict=True)
        }

    def read(self, *key: str) -> dict[str, Any]:
        """Read the online row of a key, as `materializer get` does; the clock is far ahead."""
        return read_row(self.group, self.client, list(key), FAR)

    def meta(self) -> Meta | None:
        """What the last push left about itself."""
        return Meta.read(self.client, codec.meta_key(self.group.name))


def rows(day: str, **clicks: int) -> list[Row]:
    """Make one row per user, available at the midnight after the day."""
    available_at = datetime.fromisoformat(day) + timedelta(days=1)
    return [
        {"user_id": user, "clicks": count, "available_at": available_at}
        for user, count in clicks.items()
    ]


def at(text: str) -> datetime:
    """Read a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
