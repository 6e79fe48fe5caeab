"""
Activity spans: the maximal runs of consecutive days on which an entity has a row.

Responsible for the table `_spans_<group>`. It is committed last and names the snapshot of the group
that it describes, which makes a publish visible. Does not read the rows of days that did not
change: old spans are cut around the changed days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from materializer.offline.catalog import (
    GROUP_SNAPSHOT_ID,
    described_snapshot,
    find_table,
    registry_properties,
    spans_name,
    translate_errors,
)
from materializer.offline.files import damage
from materializer.offline.read import DayFiles, count_rows, data_files, files_by_day, read_files
from materializer.offline.schema import iceberg_schema, span_columns
from materializer.offline.write import (
    SORTER_MEMORY,
    commit,
    expire_snapshots,
    open_table,
    write_files,
)
from materializer.registry import FeatureGroup
from materializer.sql import open_engine, quoted, quoted_list

# So many rows are merged into runs at a time; the sorter holds them [rows].
_CHUNK = 4_000_000

# So many spans are passed to the writer at a time [rows].
_BATCH = 200_000

# Snapshots of the spans to keep: a reader is at most a second behind the newest.
_KEPT = 3

_ONE_DAY = timedelta(days=1)


def update_spans(catalog: Catalog, group: FeatureGroup, table: Table) -> None:
    """
    Make the spans describe the current snapshot of a group's table, so that readers see it.

    The registry entry is published with the spans, so that readers take both from one commit.
    """
    snapshot = table.current_snapshot()
    assert snapshot is not None
    name = spans_name(group.name)
    spans = find_table(catalog, name)
    described = described_snapshot(spans)
    registry = registry_properties(group.to_json())
    if (
        spans is not None
        and described == snapshot.snapshot_id
        and registry.items() <= spans.properties.items()
    ):
        return
    # Nothing is known of a snapshot that was expired: then every day is new.
    known = described is not None and table.snapshot_by_id(described) is not None
    with translate_errors(name):
        if spans is not None and known:
            # Damaged spans are made again, from the rows of all days.
            known = not any(damage(spans.io, file.file_path) for file in data_files(spans))
        now = files_by_day(table)
        before = files_by_day(table, described) if known else {}
        schema = iceberg_schema(span_columns(group), table.schema().as_arrow())
        spans = open_table(catalog, name, schema)
        changed = {
            day: now.get(day, [])
            for day in sorted({*before, *now})
            # PyIceberg compares data files by their paths.
            if set(before.get(day, ())) != set(now.get(day, ()))
        }
        added: list[DataFile] = []
        removed: list[DataFile] = []
        if changed or not known:
            removed = data_files(spans)
            # Only one day after all days before does not cut any span.
            appended = known and len(changed) == 1 and min(changed) > max(before, default=date.min)
            added = _write(spans, removed if known else [], group, table, changed, appended)
    commit(
        spans,
        add=added,
        remove=removed,
        snapshot_properties={GROUP_SNAPSHOT_ID: str(snapshot.snapshot_id)},
        properties=registry,
    )
    expire_snapshots(spans, keep=_KEPT)


def _write(
    spans: Table,
    old: Sequence[DataFile],
    group: FeatureGroup,
    table: Table,
    changed: DayFiles,
    appended: bool,
) -> list[DataFile]:
    """Write files of all spans, from the old ones and the rows of the changed days."""
    days = list(changed)
    with open_engine(SORTER_MEMORY) as (connection, _):
        before = read_files(spans, old, spans.schema().column_names)
        if appended:
            rows = read_files(table, changed[days[0]], group.entity)
            batches = extend_spans(connection, group.entity, before, rows, days[0])
        else:
            columns = [*group.entity, group.partition]
            parts = (read_files(table, files, columns) for files in _chunks(changed.values()))
            batches = merge_spans(connection, group.entity, before, days, parts)
        return write_files(spans, batches, keys=group.entity)


def _chunks(days: Iterable[Sequence[DataFile]]) -> Iterator[list[DataFile]]:
    chunk: list[DataFile] = []
    for files in days:
        chunk += files
        if count_rows(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def extend_spans(
    connection: duckdb.DuckDBPyConnection,
    entity: Sequence[str],
    spans: pa.RecordBatchReader,
    rows: pa.RecordBatchReader,
    day: date,
) -> Iterator[pa.RecordBatch]:
    """
    Yield spans with one later day added, in one join: the usual nightly publish.

    Arguments and result are those of `merge_spans`, but *rows* are the key columns of that day; an
    entity may have several.
    """
    connection.register("spans", spans)
    connection.register("rows", rows)
    keys = quoted_list(entity)
    # A row extends the span that ended the day before, or begins a new one.
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


def merge_spans(
    connection: duckdb.DuckDBPyConnection,
    entity: Sequence[str],
    spans: pa.RecordBatchReader,
    changed: Sequence[date],
    parts: Iterable[pa.RecordBatchReader],
) -> Iterator[pa.RecordBatch]:
    """
    Yield spans with the rows of some days replaced, sorted by key and first day.

    Args:
        connection: From `sql.open_engine`, used by nothing else. It bounds the memory.
        entity: Key columns.
        spans: The old spans: key columns, `first_day` and `last_day`.
        changed: The days, in order.
        parts: All rows of these days, key columns and day; a day is in one part.
    """
    keys = quoted_list(entity)
    # The intervals between the changed days, both ends inclusive; some are empty.
    since = [date.min, *(day + _ONE_DAY for day in changed)]
    until = [*(day - _ONE_DAY for day in changed), date.max]
    connection.register("intervals", pa.table({"_since": since, "_until": until}))
    connection.register("spans", spans)
    connection.execute(f"""
        create table pieces as
        select
            {keys},
            greatest(first_day, _since) as first_day,
            least(last_day, _until) as last_day
        from spans
        inner join (from intervals where _since <= _until)
            on first_day <= _until and last_day >= _since
    """)
    for rows in parts:
        connection.register("rows", rows)
        day = quoted(rows.schema.names[-1])
        runs = _runs_sql(f"select {keys}, {day} as first_day, {day} as last_day from rows", keys)
        connection.execute(f"insert into pieces {runs}")
    query = f"{_runs_sql('select * from pieces', keys)} order by {keys}, first_day"
    yield from connection.sql(query).to_arrow_reader(_BATCH)


def _runs_sql(pieces: str, keys: str) -> str:
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
