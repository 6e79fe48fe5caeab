"""
One published state of a group, as lookups need it.

Owns how it is read: the spans first, then the group at the snapshot those spans name, so that the
pair is consistent whatever a publish is doing. Refuses to change: a newer state is another object.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.conversions import from_bytes
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile
from pyiceberg.types import TimestampType

from materializer.offline.activity import described_snapshot
from materializer.offline.catalog import (
    REGISTRY,
    find_table,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.files import data_files, files_by_day
from materializer.registry import FeatureGroup

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Day:
    """One day's files, and the smallest and largest `available_at` in them where known [UTC]."""

    paths: tuple[str, ...]
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class View:
    """
    All that one published state of a group needs; never changes.

    Attributes:
        location: The spans' metadata file: another one means a newer state.
        group: The registry entry published with it.
        snapshot_id: The group's snapshot.
        io: Opens its files.
        spans: Files of the spans.
        days: Every day's files, in day order.
        order: The days alone.
        reach: For each day, the earliest `available_at` of it and every later one, ascending.
    """

    location: str
    group: FeatureGroup
    snapshot_id: int
    io: FileIO
    spans: tuple[str, ...]
    days: Mapping[date, Day]
    order: tuple[date, ...]
    reach: tuple[datetime, ...]

    def newest_day(self, as_of: datetime) -> date | None:
        """Tell the newest day of which something was available, or None."""
        number = bisect_right(self.reach, as_of)
        return self.order[number - 1] if number else None


def load_view(catalog: Catalog, name: str) -> View | None:
    """
    Read the published state of a group, or None when none is complete.

    Raises:
        OfflineStoreUnavailable: The store cannot be read.
    """
    # Spans first: they are committed last, and name the snapshot they describe.
    spans = find_table(catalog, spans_name(name))
    described = described_snapshot(spans)
    table = find_table(catalog, table_name(name))
    if spans is None or described is None or table is None:
        return None
    group = FeatureGroup.from_json(spans.properties[REGISTRY])
    with translate_errors(table_name(name)):
        available_at = table.schema().find_field(group.available_at).field_id
        days = {
            day: _day(files, available_at) for day, files in files_by_day(table, described).items()
        }
        span_paths = tuple(file.file_path for file in data_files(spans))
    reach: list[datetime] = []
    for files in reversed(days.values()):
        reach.append(min(files.earliest, reach[-1]) if reach else files.earliest)
    return View(
        location=spans.metadata_location,
        group=group,
        snapshot_id=described,
        io=table.io,
        spans=span_paths,
        days=days,
        order=tuple(days),
        reach=tuple(reversed(reach)),
    )


def _day(files: Sequence[DataFile], available_at: int) -> Day:
    # Files that another engine rewrote may lack bounds; then the rows themselves must tell.
    lower = [file.lower_bounds.get(available_at) for file in files]
    upper = [file.upper_bounds.get(available_at) for file in files]
    return Day(
        paths=tuple(file.file_path for file in files),
        earliest=min(datetime.min if raw is None else _time(raw) for raw in lower),
        latest=max(datetime.max if raw is None else _time(raw) for raw in upper),
    )


def _time(raw: bytes) -> datetime:
    return _EPOCH + timedelta(microseconds=int(from_bytes(TimestampType(), raw)))
