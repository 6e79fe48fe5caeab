"""
Activity spans: per entity the maximal runs of consecutive days on which it has a row.

Responsible for the table `_spans_<group>`, which is committed last and names the group's snapshot
that it describes: that makes a publish visible. Does not read days that did not change: old spans
are cut around the changed days, and only those days' rows are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import DateType, NestedField

from materializer.offline.catalog import (
    FIRST_DAY,
    GROUP_SNAPSHOT_ID,
    LAST_DAY,
    REGISTRY,
    described_snapshot,
    find_table,
    spans_name,
    translate_errors,
)
from materializer.offline.read import data_files, files_by_day, read_files
from materializer.offline.write import SORTER_MEMORY, commit, open_table, retire, write_files
from materializer.registry import FeatureGroup
from materializer.sql import open_engine, quoted, quoted_list

# Rows whose runs are found at once; the sorter holds them [rows].
_CHUNK = 4_000_000

# Handed to the writer at once [rows].
_BATCH = 200_000

# Each publish writes all spans again. A reader is at most a second behind the newest.
_KEPT = 3

_ONE_DAY = timedelta(days=1)

DayFiles = Mapping[date, Sequence[DataFile]]


def update_spans(catalog: Catalog, group: FeatureGroup, table: Table) -> bool:
    """
    Make the spans describe the group's current snapshot, which makes that visible to readers.

    Args:
        catalog: Holds both tables.
        group: Published with the spans, so that readers take both from one commit.
        table: The group's table at its current state, with a snapshot.

    Returns:
        Whether there was anything to do.

    Raises:
        OfflineStoreUnavailable: The store cannot be read or written.
    """
    snapshot = table.current_snapshot()
    assert snapshot is not None
    spans = find_table(catalog, spans_name(group.name))
    described = described_snapshot(spans)
    registry = group.to_json()
    if (
        spans is not None
        and described == snapshot.snapshot_id
        and spans.properties.get(REGISTRY) == registry
    ):
        return False
    with translate_errors(spans_name(group.name)):
        now = files_by_day(table)
        # Of a snapshot that was expired nothing is known: then every day is new.
        known = described is not None and table.snapshot_by_id(described) is not None
        before = files_by_day(table, described) if known else {}
        changed = changed_days(before, now)
        spans = open_table(catalog, spans_name(group.name), _schema(group, table))
        old = data_files(spans)
        if known and not changed:
            added, removed = [], []
        else:
            valid = old if known else []
            # Only a day after all that the old spans know does not cut them.
            appended = known and len(changed) == 1 and changed[0] > max(before, default=date.min)
            added, removed = _write(spans, group, table, valid, changed, now, appended), old
    commit(
        spans,
        add=added,
        remove=removed,
        snapshot_properties={GROUP_SNAPSHOT_ID: str(snapshot.snapshot_id)},
        properties={REGISTRY: registry},
    )
    retire(spans, keep=_KEPT)
    return True


def changed_days(before: DayFiles, now: DayFiles) -> list[date]:
    """List the days whose data files differ between two snapshots, in order."""

    def paths(files: DayFiles, day: date) -> set[str]:
        return {file.file_path for file in files.get(day, ())}

    return sorted(day for day in {*before, *now} if paths(before, day) != paths(now, day))


def _schema(group: FeatureGroup, table: Table) -> Schema:
    keys = [
        NestedField(number, name, table.schema().find_field(name).field_type, required=False)
        for number, name in enumerate(group.entity, start=1)
    ]
    first = len(keys) + 1
    return Schema(
        *keys,
        NestedField(first, FIRST_DAY, DateType(), required=False),
        NestedField(first + 1, LAST_DAY, DateType(), required=False),
    )


def _write(
    spans: Table,
    group: FeatureGroup,
    table: Table,
    old: Sequence[DataFile],
    changed: Sequence[date],
    now: DayFiles,
    appended: bool,
) -> list[DataFile]:
    """Write files of all spans, from the old ones and the rows of the changed days."""
    schema = spans.schema().as_arrow()
    with open_engine(SORTER_MEMORY) as (connection, _):
        before = read_files(spans, old, schema.names)
        if appended:
            [day] = changed
            rows = read_files(table, now[day], group.entity)
            batches = extended(connection, group.entity, before, rows, day)
        else:
            merger = SpanMerger(connection, group.entity, schema)
            merger.keep(before, changed)
            for files in _chunks(now[day] for day in changed if day in now):
                rows = read_files(table, files, [*group.entity, group.partition])
                merger.add(rows, group.partition)
            batches = merger.merged()
        return write_files(spans, batches, keys=group.entity)


def _chunks(days: Iterable[Sequence[DataFile]]) -> Iterator[list[DataFile]]:
    chunk: list[DataFile] = []
    rows = 0
    for files in days:
        chunk += files
        rows += sum(file.record_count for file in files)
        if rows >= _CHUNK:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def kept_intervals(changed: Sequence[date]) -> list[tuple[date, date]]:
    """
    List the intervals of days, both ends inclusive, that hold none of the changed days.

    Args:
        changed: In order, without duplicates.
    """
    intervals = []
    start = date.min
    for day in changed:
        if start < day:
            intervals.append((start, day - _ONE_DAY))
        start = day + _ONE_DAY
    return [*intervals, (start, date.max)]


def extended(
    connection: duckdb.DuckDBPyConnection,
    entity: Sequence[str],
    spans: pa.RecordBatchReader,
    rows: pa.RecordBatchReader,
    day: date,
) -> Iterator[pa.RecordBatch]:
    """
    Yield spans with one later day added, in one join: what a night brings.

    Args:
        connection: From `sql.open_engine`, used by nothing else.
        entity: Key columns.
        spans: Key columns, `first_day` and `last_day`; maximal.
        rows: Key columns of the rows of that day; of one entity there may be several.
        day: The day.

    Yields:
        Maximal spans, sorted by key and first day.
    """
    connection.register("spans", spans)
    connection.register("rows", rows)
    keys = quoted_list(entity)
    # A span that ended the day before goes on; a row that finds none begins one.
    query = f"""
        select
            {keys},
            coalesce(first_day, date '{day}') as first_day,
            case when _has_row then date '{day}' else last_day end as last_day
        from spans
        full join (
            select distinct {keys}, date '{day - _ONE_DAY}' as last_day, true as _has_row
            from rows
        ) using ({keys}, last_day)
        order by {keys}, first_day
    """
    yield from connection.sql(query).to_arrow_reader(_BATCH)


class SpanMerger:
    """
    Merges pieces of spans into maximal ones, in DuckDB; memory is bounded by the sorter's.

    Pieces of one entity must not overlap.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, entity: Sequence[str], schema: pa.Schema
    ) -> None:
        """
        Start without pieces.

        Args:
            connection: From `sql.open_engine`, used by nothing else.
            entity: Key columns.
            schema: Key columns, `first_day` and `last_day`.
        """
        self._connection = connection
        self._keys = quoted_list(entity)
        connection.register("nothing", schema.empty_table())
        connection.execute("create table pieces as select * from nothing")

    def keep(self, spans: pa.RecordBatchReader, changed: Sequence[date]) -> None:
        """Add the old spans, without the days that changed."""
        kept = kept_intervals(changed)
        self._connection.register(
            "kept",
            pa.table({"_since": [a for a, _ in kept], "_until": [b for _, b in kept]}),
        )
        self._connection.register("spans", spans)
        self._connection.execute(
            f"""
            insert into pieces
            select {self._keys}, greatest(first_day, _since), least(last_day, _until)
            from spans
            inner join kept on first_day <= _until and last_day >= _since
            """
        )

    def add(self, rows: pa.RecordBatchReader, day: str) -> None:
        """Add rows (key columns and the column *day*), as the runs they form among themselves."""
        self._connection.register("rows", rows)
        days = quoted(day)
        query = _merge(
            f"select {self._keys}, {days} as first_day, {days} as last_day from rows", self._keys
        )
        self._connection.execute(f"insert into pieces {query}")

    def merged(self) -> Iterator[pa.RecordBatch]:
        """Yield all of it as maximal runs, sorted by key and first day."""
        query = f"{_merge('select * from pieces', self._keys)} order by {self._keys}, first_day"
        yield from self._connection.sql(query).to_arrow_reader(_BATCH)


def _merge(pieces: str, keys: str) -> str:
    # A piece begins a run unless the one before it ends on the day before, or on the same day.
    return f"""
        with
        pieces_ as ({pieces}),
        marked as (
            select *, coalesce(first_day - lag(last_day) over by_day > 1, true) as _begins
            from pieces_
            window by_day as (partition by {keys} order by first_day)
        ),
        runs as (
            select *, count(*) filter (_begins) over by_day as _run
            from marked
            window by_day as (
                partition by {keys} order by first_day
                rows between unbounded preceding and current row
            )
        )
        select {keys}, min(first_day) as first_day, max(last_day) as last_day
        from runs
        group by {keys}, _run
    """
