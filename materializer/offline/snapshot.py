"""
A published state of a group: what every reader outside dbt sees.

Responsible for opening it: first the spans, which are committed last and name the snapshot of the
group that they describe, then the group at that snapshot. So the two always fit, also during a
publish. Does not read rows; a newer state is another object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import cast

from pyiceberg.catalog import Catalog
from pyiceberg.conversions import from_bytes
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.types import DateType, PrimitiveType, TimestampType

from materializer.days import DayRange, built_since
from materializer.errors import NotPublished, UnknownGroup
from materializer.offline.catalog import (
    BUILT_DAYS,
    REGISTRY,
    described_snapshot,
    find_table,
    full_name,
    metadata_location,
    publish_summary,
    published_groups,
    registry_entry,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.read import data_files, partition_day
from materializer.registry import FeatureGroup
from materializer.registry.validity import lifetime

_MICROSECOND = timedelta(microseconds=1)
_DAY_US = timedelta(days=1) // _MICROSECOND
_TIMESTAMP = TimestampType()


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """
    One data file of a group.

    Attributes:
        day: The partition whose rows it holds.
        first: Smallest `available_at` in it [microseconds since 1970], None when unknown: another
            engine may have rewritten the file.
        last: Largest `available_at`, likewise.
        last_event: Largest `event_time` [microseconds since 1970]; None when unknown, or for a
            group without.
    """

    path: str
    rows: int
    day: date
    first: int | None
    last: int | None
    last_event: int | None = None

    def may_hold(self, after: int | None, until: int) -> bool:
        """Return whether any row may be available later than *after* and not after *until*."""
        late_enough = after is None or self.last is None or self.last > after
        return late_enough and (self.first is None or self.first <= until)

    def holds_only(self, after: int | None, until: int) -> bool:
        """Return whether every row is available later than *after* and not after *until*."""
        if self.first is None or self.last is None:
            return False
        return (after is None or self.first > after) and self.last <= until


# Without slots, because cached properties need a dictionary.
@dataclass(frozen=True)
class GroupSnapshot:
    """
    One group at the snapshot that readers see.

    Attributes:
        group: As it was published with the rows: key, contract, availability, prefix and ttl.
        spans: The table of its activity spans, which names every entity.
        snapshot_id: The snapshot of the group's table.
    """

    group: FeatureGroup
    table: Table
    spans: Table
    snapshot_id: int

    @cached_property
    def files(self) -> tuple[SnapshotFile, ...]:
        """The data files, in the order of their days."""
        return self._files(self.snapshot_id)

    @cached_property
    def span_files(self) -> tuple[str, ...]:
        """The files of the spans."""
        with translate_errors(full_name(self.table)):
            return tuple(file.file_path for file in data_files(self.spans))

    @cached_property
    def built_days(self) -> tuple[DayRange, ...]:
        """The days that were built, as ranges; none for a group without a closing row."""
        snapshot = self.table.snapshot_by_id(self.snapshot_id)
        text = publish_summary(self.table, snapshot).get(BUILT_DAYS, "")
        return tuple(DayRange.from_text(days) for days in text.split(", ") if days)

    def built_since(self, day: date) -> int:
        """Return how many days were built since a day; they count for a closing row of that day."""
        return built_since(self.built_days, day) if self.group.has_closing_rows else 0

    def ends(self, file: SnapshotFile) -> int | None:
        """Return when no row of a file holds any more [microseconds since 1970]; None for never."""
        holds_for = lifetime(self.group, self.built_since(file.day))
        if holds_for is None or file.last is None:
            return None
        return file.last + holds_for // _MICROSECOND

    def files_at(self, snapshot_id: int) -> tuple[SnapshotFile, ...] | None:
        """List the data files of another snapshot, or None when it cannot be read any more."""
        if not self.knows(snapshot_id):
            return None
        files = self._files(snapshot_id)
        with translate_errors(full_name(self.table)):
            # The metadata may still have a snapshot whose files were deleted.
            for file in set(files) - set(self.files):
                if not self.table.io.new_input(file.path).exists():
                    return None
        return files

    def knows(self, snapshot_id: int) -> bool:
        """Return whether the table still has a snapshot of that id."""
        return self.table.snapshot_by_id(snapshot_id) is not None

    def descends_from(self, snapshot_id: int) -> bool:
        """Return whether this is that snapshot, or was committed on top of it."""
        current = self.table.snapshot_by_id(self.snapshot_id)
        line = list(ancestors_of(current, self.table.metadata))
        if any(ancestor.snapshot_id == snapshot_id for ancestor in line):
            return True
        # An expiry removes old ancestors. What is older than those that are left was one of them.
        other = self.table.snapshot_by_id(snapshot_id)
        return other is not None and (other.sequence_number or 0) < (line[-1].sequence_number or 0)

    def _files(self, snapshot_id: int) -> tuple[SnapshotFile, ...]:
        with translate_errors(full_name(self.table)):
            schema = self.table.scan(snapshot_id=self.snapshot_id).projection()
            time_id = schema.find_field(self.group.available_at).field_id
            event = None
            if self.group.event_time is not None:
                field = schema.find_field(self.group.event_time)
                event = field.field_id, cast("PrimitiveType", field.field_type)
            files = [
                SnapshotFile(
                    path=file.file_path,
                    rows=file.record_count,
                    day=partition_day(file),
                    first=_bound(file.lower_bounds, time_id),
                    last=_bound(file.upper_bounds, time_id),
                    last_event=None if event is None else _bound(file.upper_bounds, *event),
                )
                for file in data_files(self.table, snapshot_id)
            ]
        return tuple(sorted(files, key=lambda file: (file.day, file.path)))


def open_snapshot(catalog: Catalog, name: str) -> GroupSnapshot:
    """
    Open the published state of a group.

    Raises:
        UnknownGroup: The store has other groups.
        NotPublished: The store has no group yet, or the first publish of this one was killed.
        OfflineStoreUnavailable: The store cannot be read.
    """
    spans = find_table(catalog, spans_name(name))
    described = described_snapshot(spans)
    table = find_table(catalog, table_name(name))
    if spans is None or described is None or table is None:
        known = published_groups(catalog)
        if known and (table is None or REGISTRY not in table.properties):
            raise UnknownGroup(name, known)
        raise NotPublished(name)
    group = FeatureGroup.from_json(registry_entry(spans))
    return GroupSnapshot(group, table, spans, described)


def published_definitions(catalog: Catalog) -> dict[str, str | None]:
    """Return the definition of each published group, by its name."""
    names = published_groups(catalog)
    return {name: open_snapshot(catalog, name).group.definition for name in names}


def open_snapshots(catalog: Catalog, names: Sequence[str]) -> list[GroupSnapshot]:
    """Open the published states of several groups, all as of the same moment."""
    while True:
        snapshots = [open_snapshot(catalog, name) for name in names]
        # A publish may have committed a group while the others were opened; then open them again.
        if all(
            metadata_location(catalog, spans_name(name)) == snapshot.spans.metadata_location
            for name, snapshot in zip(names, snapshots, strict=True)
        ):
            return snapshots


def _bound(
    bounds: Mapping[int, bytes] | None, field_id: int, type_: PrimitiveType = _TIMESTAMP
) -> int | None:
    if not bounds or field_id not in bounds:
        return None
    bound = cast("int", from_bytes(type_, bounds[field_id]))
    return bound * _DAY_US if isinstance(type_, DateType) else bound
