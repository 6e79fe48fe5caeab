"""
What a push reads: one snapshot of a group in the offline store, as a list of data files.

Owns which snapshot that is (the one readers see), what changed between two snapshots, what time
alone changed, and in which order files are read to meet each entity's newest row first. It works
from Iceberg's manifests and their column bounds. Refuses to open a data file: see `selection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import cast

from pyiceberg.catalog import Catalog
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import TimestampType

from materializer.errors import ContractMismatch, NotPublished
from materializer.offline.activity import described_snapshot
from materializer.offline.catalog import (
    find_table,
    spans_name,
    store_id,
    table_name,
    translate_errors,
)
from materializer.offline.files import data_files
from materializer.registry import FeatureGroup

# The largest time an Iceberg timestamp can hold [microseconds since 1970].
FOREVER = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def micros(moment: datetime) -> int:
    """Count the microseconds from 1970 to an aware time."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class File:
    """
    One data file.

    Attributes:
        path: Its location, as the manifest has it.
        rows: Number of rows.
        partition: Its partition as text, dates as `YYYY-MM-DD`.
        first: Smallest `available_at` in it [microseconds since 1970], None when unknown.
        last: Largest, None when unknown.
    """

    path: str
    rows: int
    partition: str
    first: int | None
    last: int | None

    def may_hold(self, after: int | None, until: int) -> bool:
        """Tell whether a row can be available later than *after* and no later than *until*."""
        late_enough = after is None or self.last is None or self.last > after
        return late_enough and (self.first is None or self.first <= until)

    def holds_only(self, after: int | None, until: int) -> bool:
        """Tell whether every row is certain to be so."""
        if self.first is None or self.last is None:
            return False
        return (after is None or self.first > after) and self.last <= until


@dataclass(frozen=True, slots=True)
class Source:
    """
    One group at the snapshot that readers see.

    Attributes:
        group: The group.
        table: Its Iceberg table.
        spans: The table of its activity spans, which names every entity.
        schema: The columns of that snapshot.
        snapshot_id: The snapshot.
        store_id: Id of the offline store.
        files: Its data files.
    """

    group: FeatureGroup
    table: Table
    spans: Table
    schema: Schema
    snapshot_id: int
    store_id: str
    files: tuple[File, ...]

    def files_at(self, snapshot_id: int) -> tuple[File, ...] | None:
        """
        List the data files of another snapshot, or None when it cannot be read any more.

        Raises:
            OfflineStoreUnavailable: The manifests cannot be read.
        """
        if self.table.snapshot_by_id(snapshot_id) is None:
            return None
        gone = set(_files(self.table, self.group, snapshot_id))
        with translate_errors(self.table.catalog.name):
            # An expired snapshot may leave its name behind and take its files away.
            for file in gone - set(self.files):
                if not self.table.io.new_input(file.path).exists():
                    return None
        return tuple(gone)

    def span_locations(self) -> list[str]:
        """
        List the files of the spans.

        Raises:
            OfflineStoreUnavailable: The manifests cannot be read.
        """
        with translate_errors(self.table.catalog.name):
            return [file.file_path for file in data_files(self.spans)]

    def descends_from(self, snapshot_id: int) -> bool:
        """Tell whether this snapshot is another one, or was committed on top of it."""
        current = self.table.snapshot_by_id(self.snapshot_id)
        line = list(ancestors_of(current, self.table.metadata))
        if any(ancestor.snapshot_id == snapshot_id for ancestor in line):
            return True
        # An expiry cuts the line off. What is older than the rest of it lay in the part that went.
        other = self.table.snapshot_by_id(snapshot_id)
        return other is not None and (other.sequence_number or 0) < (line[-1].sequence_number or 0)

    def knows(self, snapshot_id: int) -> bool:
        """Tell whether the table still has a snapshot of that id."""
        return self.table.snapshot_by_id(snapshot_id) is not None


def open_source(group: FeatureGroup, catalog: Catalog) -> Source:
    """
    Find what there is to push.

    Raises:
        NotPublished: The group has no complete publish.
        OfflineStoreUnavailable: The catalog or the manifests cannot be read.
        ContractMismatch: The table is not laid out as a push needs it.
    """
    owner = store_id(catalog)
    # Spans first: they are committed last, and name the snapshot that readers see. Pushing a newer
    # one would let the online store run ahead of the offline one.
    spans = find_table(catalog, spans_name(group.name))
    visible = described_snapshot(spans)
    table = find_table(catalog, table_name(group.name))
    snapshot = None if table is None or visible is None else table.snapshot_by_id(visible)
    if owner is None or spans is None or table is None or snapshot is None:
        raise NotPublished(group.name)
    schema = table.schema()
    if snapshot.schema_id is not None:
        schema = table.schemas()[snapshot.schema_id]
    return Source(
        group=group,
        table=table,
        spans=spans,
        schema=schema,
        snapshot_id=snapshot.snapshot_id,
        store_id=owner,
        files=_files(table, group, snapshot.snapshot_id),
    )


def _files(table: Table, group: FeatureGroup, snapshot_id: int) -> tuple[File, ...]:
    with translate_errors(table.catalog.name):
        return tuple(_file(table, group, file) for file in data_files(table, snapshot_id))


def _file(table: Table, group: FeatureGroup, file: DataFile) -> File:
    schema = table.schema()
    time_id = schema.find_field(group.available_at).field_id
    return File(
        path=file.file_path,
        rows=file.record_count,
        partition=_partition(table, group, file),
        first=_bound(file.lower_bounds, time_id),
        last=_bound(file.upper_bounds, time_id),
    )


def _bound(bounds: Mapping[int, bytes] | None, field_id: int) -> int | None:
    if not bounds or field_id not in bounds:
        return None
    return cast("int", from_bytes(TimestampType(), bounds[field_id]))


def _partition(table: Table, group: FeatureGroup, file: DataFile) -> str:
    source = table.schema().find_field(group.partition)
    for position, field in enumerate(table.specs()[file.spec_id].fields):
        if field.source_id == source.field_id and isinstance(field.transform, IdentityTransform):
            return field.transform.to_human_string(source.field_type, file.partition[position])
    raise ContractMismatch(
        group=group.name, problem=f"its Iceberg table is not partitioned by {group.partition}"
    )


def changed_files(source: Source, base: Sequence[File], since: int, now: int) -> list[File]:
    """
    List the files whose entities may have another newest row than at the last push.

    Args:
        source: What there is now.
        base: The files of the snapshot that was pushed last.
        since: The clock of that push [microseconds since 1970].
        now: The clock of this one, later or earlier.

    Returns:
        Files that came or went, and files with rows that came into use in between, the clock being
        all that changed. Files whose rows were and are in the future are left out.
    """
    came, went = set(source.files) - set(base), set(base) - set(source.files)
    early, late = min(since, now), max(since, now)
    ripened = {f for f in source.files if early < late and f.may_hold(early, late)}
    return [file for file in came | went | ripened if file.may_hold(None, late)]


def waves(files: Iterable[File], after: int | None, until: int) -> Iterator[list[File]]:
    """
    Order files so that an entity's row in one wave is newer than any in a later wave.

    Args:
        files: The files of one snapshot.
        after: Rows available up to then are of no use [microseconds since 1970], None for ever.
        until: Nor are rows available later than then [microseconds since 1970].

    Yields:
        Files whose ranges of `available_at` touch, newest first. After the first two waves several
        are put together, twice as many each time: the few entities left by then are cheap to look
        for, and a long history must not cost a query a day.
    """
    pending = sorted(
        (file for file in files if file.may_hold(after, until)),
        key=lambda file: (_last(file), file.path),
        reverse=True,
    )
    together = 1
    served = 0
    position = 0
    while position < len(pending):
        wave: list[File] = []
        for _ in range(together):
            position = _touching(pending, position, wave)
        yield wave
        served += 1
        together = 1 if served < 2 else together * 2


def _touching(pending: Sequence[File], position: int, wave: list[File]) -> int:
    """Add to *wave* the next files that touch one another; return where the rest begins."""
    if position == len(pending):
        return position
    reach = _first(pending[position])
    while position < len(pending) and _last(pending[position]) >= reach:
        reach = min(reach, _first(pending[position]))
        wave.append(pending[position])
        position += 1
    return position


def _first(file: File) -> float:
    return float("-inf") if file.first is None else file.first


def _last(file: File) -> float:
    return float("inf") if file.last is None else file.last
