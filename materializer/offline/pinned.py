"""
One published state of several groups, held still while something long is read from it.

Owns that the states belong together: each is the one that readers see, and all of them were the
newest at one moment, whatever a publish is doing. Refuses to read rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pyiceberg.catalog import Catalog
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import TimestampType

from materializer.days import DayRange
from materializer.errors import BuiltDaysUnknown
from materializer.offline.activity import described_snapshot
from materializer.offline.catalog import (
    BUILT_DAYS,
    REGISTRY,
    find_table,
    metadata_location,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.files import data_files
from materializer.offline.publish import publish_summary
from materializer.offline.reader import why_missing
from materializer.registry import FeatureGroup


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """
    One data file.

    Attributes:
        location: As the manifest has it.
        rows: Number of rows.
        first: Smallest `available_at` in it [microseconds since 1970], None when unknown.
        last: Largest, None when unknown.
    """

    location: str
    rows: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Pinned:
    """
    One group at one snapshot.

    Attributes:
        group: As it was published with the snapshot.
        table: Its Iceberg table.
        schema: The columns of the snapshot.
        snapshot_id: The snapshot.
        files: Its data files.
        built_days: Days that were built, as runs; none for a group without a closing row.
    """

    group: FeatureGroup
    table: Table
    schema: Schema
    snapshot_id: int
    files: tuple[PinnedFile, ...]
    built_days: tuple[DayRange, ...]


def pin(catalog: Catalog, names: Sequence[str]) -> list[Pinned]:
    """
    Take the published state of groups as of one moment.

    Raises:
        UnknownGroup: The store has other groups.
        NotPublished: The store has no group yet, or not the whole of this one.
        BuiltDaysUnknown: An earlier version of this project published a group.
        OfflineStoreUnavailable: The store cannot be read.
    """
    before = _locations(catalog, names)
    while True:
        pinned = [_pin(catalog, name) for name in names]
        # A publish of several groups shows one after the other: all must have been there at once.
        after = _locations(catalog, names)
        if after == before:
            return pinned
        before = after


def _locations(catalog: Catalog, names: Iterable[str]) -> list[str | None]:
    return [metadata_location(catalog, spans_name(name)) for name in names]


def _pin(catalog: Catalog, name: str) -> Pinned:
    # Spans first: they are committed last, and name the snapshot they describe.
    spans = find_table(catalog, spans_name(name))
    described = described_snapshot(spans)
    table = find_table(catalog, table_name(name))
    if spans is None or described is None or table is None:
        raise why_missing(catalog, name)
    group = FeatureGroup.from_json(spans.properties[REGISTRY])
    with translate_errors(table_name(name)):
        schema = schema_at(table, described)
        time_id = schema.find_field(group.available_at).field_id
        return Pinned(
            group=group,
            table=table,
            schema=schema,
            snapshot_id=described,
            files=tuple(_file(file, time_id) for file in data_files(table, described)),
            built_days=_built_days(group, table, described),
        )


def schema_at(table: Table, snapshot_id: int) -> Schema:
    """Tell the columns of a snapshot that the table has."""
    snapshot = table.snapshot_by_id(snapshot_id)
    known = None if snapshot is None else snapshot.schema_id
    return table.schema() if known is None else table.schemas()[known]


def _file(file: DataFile, time_id: int) -> PinnedFile:
    return PinnedFile(
        location=file.file_path,
        rows=file.record_count,
        first=_bound(file.lower_bounds, time_id),
        last=_bound(file.upper_bounds, time_id),
    )


def _bound(bounds: Mapping[int, bytes] | None, field_id: int) -> int | None:
    # Files that another engine rewrote may lack bounds.
    if not bounds or field_id not in bounds:
        return None
    return cast("int", from_bytes(TimestampType(), bounds[field_id]))


def _built_days(group: FeatureGroup, table: Table, snapshot_id: int) -> tuple[DayRange, ...]:
    if not (group.closing_row and group.fresh_hours):
        return ()
    snapshot = table.snapshot_by_id(snapshot_id)
    summary = None if snapshot is None else publish_summary(table, snapshot)
    if summary is None or BUILT_DAYS not in summary:
        raise BuiltDaysUnknown(group.name)
    return tuple(DayRange.from_text(text) for text in summary[BUILT_DAYS].split(", ") if text)
