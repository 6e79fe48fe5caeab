"""
Publishing: whole days of a group into its Iceberg table, as one commit.

Owns the order of things: write the files, let the guard compare them with what is published,
commit, then bring the spans up to date, which makes the commit visible. Refuses to know the
warehouse: rows come from a callable. The caller holds the run lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

from materializer.days import day_ranges
from materializer.errors import BadValue, ContractMismatch
from materializer.offline.activity import update_spans
from materializer.offline.catalog import (
    BUILT_DAYS,
    FIRST_DAY,
    LAST_DAY,
    LEDGER_SEQUENCE,
    NEWEST_DAY,
    REGISTRY,
    WAREHOUSE_ID,
    described_snapshot,
    ensure_store,
    find_table,
    publish_summary,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.read import count_rows, data_files, files_by_day
from materializer.offline.removals import check_removals
from materializer.offline.schema import check_columns, check_group, conform, iceberg_schema
from materializer.offline.write import (
    SORTER_MEMORY,
    commit,
    discard,
    open_table,
    set_schema,
    sort_rows,
    write_files,
)
from materializer.registry import Column, FeatureGroup
from materializer.sql import open_engine

_FIRST_PARTITION_FIELD = 1000

# Gives the rows of one day, in any order, in the columns of the contract.
DayRows = Callable[[date], "pa.Table | pa.RecordBatchReader"]
# Told each day when its files are written, with its rows.
Progress = Callable[[date, int], None]


@dataclass(frozen=True, slots=True)
class PublishReport:
    """
    What one publish did.

    Attributes:
        group: Group name.
        snapshot_id: The group's snapshot that readers now see; None when nothing was ever there.
        days: Days that were replaced and have rows.
        removed_days: Days that were there and have no rows now.
        rows: Rows written.
    """

    group: str
    snapshot_id: int | None
    days: int
    removed_days: int
    rows: int


@dataclass(frozen=True, slots=True)
class LastPublish:
    """
    What the last publish of a group left.

    Attributes:
        warehouse_id: The warehouse it came from.
        ledger_sequence: The newest build it holds.
        snapshot_id: The group's current snapshot.
        newest_day: The newest day with rows, None when there is none.
        rows: Rows in all days.
        published_at: When it was committed [aware, UTC].
        visible: Readers see it; false after a kill before the spans, until the next publish.
    """

    warehouse_id: str
    ledger_sequence: int
    snapshot_id: int
    newest_day: date | None
    rows: int
    published_at: datetime
    visible: bool


def last_published(catalog: Catalog, group: str) -> LastPublish | None:
    """
    Tell what the last publish of a group left, without reading any data.

    Raises:
        OfflineStoreUnavailable: The catalog cannot be read.
    """
    table = find_table(catalog, table_name(group))
    current = None if table is None else table.current_snapshot()
    if table is None or current is None:
        return None
    summary = publish_summary(table, current)
    if summary is None:
        return None
    newest = summary.get(NEWEST_DAY)
    return LastPublish(
        warehouse_id=summary[WAREHOUSE_ID],
        ledger_sequence=int(summary[LEDGER_SEQUENCE]),
        snapshot_id=current.snapshot_id,
        newest_day=date.fromisoformat(newest) if newest else None,
        rows=int((current.summary and current.summary["total-records"]) or 0),
        published_at=datetime.fromtimestamp(current.timestamp_ms / 1000, timezone.utc),
        visible=described_snapshot(find_table(catalog, spans_name(group))) == current.snapshot_id,
    )


def publish_days(
    catalog: Catalog,
    group: FeatureGroup,
    *,
    days: Iterable[date],
    rows: DayRows,
    warehouse_id: str,
    ledger_sequence: int,
    built_days: Iterable[date] | None = None,
    whole: bool = False,
    allow_removals: bool = False,
    progress: Progress | None = None,
) -> PublishReport:
    """
    Replace days of a group, each whole, in one atomic commit; then make it visible.

    Memory is one day's sort, within the sorter's limit; the rest is on disk. Call it also without
    days: it finishes what a killed publish left, and publishes a changed registry.

    Args:
        catalog: Where the group's table is, or will be.
        group: Its registry entry; published with the data.
        days: Days to replace; a day without rows is removed.
        rows: Called once for each day, in order.
        warehouse_id: Kept with the snapshot, see `last_published`.
        ledger_sequence: Likewise.
        built_days: Every built day of the group in order, empty ones too. Kept with the snapshot
            where a closing row rests on them.
        whole: The days are all there are: any other published day is removed.
        allow_removals: Remove days and entities without asking.
        progress: Told each day when it is written.

    Raises:
        ContractMismatch: The rows, or the group, do not fit the published table.
        BadValue: A row holds NaN or infinity, alone or in an array. Nothing changed.
        RemovalsRefused: A day, or more than 5 % of a day's entities, would go. Nothing changed.
        OfflineStoreUnavailable: The store cannot be read or written.
    """
    wanted = sorted(set(days))
    ensure_store(catalog)
    table = _open(catalog, group, rows, wanted)
    if table is None:
        return PublishReport(group.name, None, 0, 0, 0)
    with translate_errors(table_name(group.name)):
        published = files_by_day(table)
    gone = sorted(set(published) - set(wanted)) if whole else []
    new: dict[date, list[DataFile]] = {}
    try:
        with open_engine(SORTER_MEMORY) as (connection, _):
            for day in wanted:
                new[day] = _write_day(connection, group, table, day, rows(day))
                if progress is not None:
                    progress(day, count_rows(new[day]))
            if not allow_removals:
                check_removals(
                    connection, group, table, published, {**new, **dict.fromkeys(gone, ())}
                )
    except BaseException:
        discard(table.io, (file for files in new.values() for file in files))
        raise
    stays = {day for day in published if day not in new} - set(gone)
    newest = max(stays | {day for day, files in new.items() if files}, default=None)
    properties = {
        WAREHOUSE_ID: warehouse_id,
        LEDGER_SEQUENCE: str(ledger_sequence),
        NEWEST_DAY: newest.isoformat() if newest else "",
    }
    if group.closing_row and built_days is not None:
        properties[BUILT_DAYS] = ", ".join(map(str, day_ranges(built_days)))
    if new or gone or _is_news(group, table, properties):
        commit(
            table,
            add=[file for files in new.values() for file in files],
            remove=[file for day in {*new, *gone} for file in published.get(day, ())],
            snapshot_properties=properties,
            properties={REGISTRY: group.to_json()},
        )
    update_spans(catalog, group, table)
    return _report(group, table, new, published, gone)


def ensure_spans(catalog: Catalog, group: FeatureGroup) -> bool:
    """
    Finish what a publish left that was killed between its two commits.

    Returns:
        Whether there was anything to do.

    Raises:
        OfflineStoreUnavailable: The store cannot be read or written.
    """
    table = find_table(catalog, table_name(group.name))
    if table is None or table.current_snapshot() is None:
        return False
    return update_spans(catalog, group, table)


def publish_table(
    catalog: Catalog,
    name: str,
    rows: pa.Table | pa.RecordBatchReader,
    *,
    columns: Sequence[Column],
    snapshot_properties: Mapping[str, str],
    columns_may_change: bool = False,
) -> int:
    """
    Replace the whole of an unpartitioned table, such as the labels, in one commit.

    Args:
        catalog: Where the table is, or will be.
        name: Without the namespace.
        rows: Consumed once, streaming, in the order they are to be stored.
        columns: Their names and types.
        snapshot_properties: Kept with the snapshot.
        columns_may_change: Give the table these columns, whatever it had; its older snapshots keep
            theirs.

    Returns:
        The id of the new snapshot.

    Raises:
        ContractMismatch: The rows do not fit the columns.
        OfflineStoreUnavailable: The store cannot be read or written.
    """
    ensure_store(catalog)
    schema = iceberg_schema(columns, rows.schema)
    table = open_table(catalog, table_name(name), schema)
    if columns_may_change:
        set_schema(table, schema)
    check_columns(name, table, columns)
    with translate_errors(table_name(name)):
        old = data_files(table)
        new = write_files(table, conform(name, rows, table.schema().as_arrow()))
    return commit(
        table, add=new, remove=old, snapshot_properties=snapshot_properties, properties={}
    ).snapshot_id


def _open(
    catalog: Catalog, group: FeatureGroup, rows: DayRows, wanted: Sequence[date]
) -> Table | None:
    table = find_table(catalog, table_name(group.name))
    if table is not None and table.current_snapshot() is not None:
        check_group(group, table)
        return table
    if not wanted:
        return None
    clash = {FIRST_DAY, LAST_DAY}.intersection(group.entity)
    if clash:
        raise ContractMismatch(group=group.name, problem=f"a key cannot be called {clash.pop()}")
    schema = iceberg_schema(group.columns, rows(wanted[0]).schema)
    day = schema.find_field(group.partition)
    field = PartitionField(day.field_id, _FIRST_PARTITION_FIELD, IdentityTransform(), day.name)
    return open_table(catalog, table_name(group.name), schema, PartitionSpec(field))


def _write_day(
    connection: duckdb.DuckDBPyConnection,
    group: FeatureGroup,
    table: Table,
    day: date,
    rows: pa.Table | pa.RecordBatchReader,
) -> list[DataFile]:
    schema = table.schema().as_arrow()
    batches = _check_day(group, day, conform(group.name, rows, schema))
    ordered = sort_rows(connection, schema, batches, group.entity)
    with translate_errors(table_name(group.name)):
        return write_files(
            table, ordered, keys=group.entity, folder=f"{group.partition}={day.isoformat()}/"
        )


def _check_day(
    group: FeatureGroup, day: date, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for name in group.entity:
            if batch.column(name).null_count:
                raise ContractMismatch(group=group.name, problem=f"{day}: {name} is null")
        same = pc.all(pc.equal(batch.column(group.partition), day), skip_nulls=False)
        if not same.as_py():
            raise ContractMismatch(
                group=group.name, problem=f"the rows of {day} hold another {group.partition}"
            )
        _refuse_not_finite(group, batch)
        yield batch


def _refuse_not_finite(group: FeatureGroup, batch: pa.RecordBatch) -> None:
    for column in group.columns:
        if column.type not in ("double", "array<double>"):
            continue
        values = batch.column(column.name)
        numbers, rows = values, None
        if column.type != "double":
            numbers, rows = pc.list_flatten(values), pc.list_parent_indices(values)
        bad = pc.indices_nonzero(pc.fill_null(pc.invert(pc.is_finite(numbers)), False))
        if len(bad):
            row = bad[0].as_py() if rows is None else rows[bad[0].as_py()].as_py()
            key = ", ".join(str(batch.column(name)[row]) for name in group.entity)
            raise BadValue(group=group.name, column=column.name, key=key)


def _is_news(group: FeatureGroup, table: Table, properties: Mapping[str, str]) -> bool:
    current = table.current_snapshot()
    summary = None if current is None else publish_summary(table, current)
    known = summary is not None and all(summary.get(k) == v for k, v in properties.items())
    return not known or table.properties.get(REGISTRY) != group.to_json()


def _report(
    group: FeatureGroup,
    table: Table,
    new: Mapping[date, Sequence[DataFile]],
    published: Mapping[date, Sequence[DataFile]],
    gone: Sequence[date],
) -> PublishReport:
    snapshot = table.current_snapshot()
    emptied = [day for day, files in new.items() if not files and day in published]
    return PublishReport(
        group=group.name,
        snapshot_id=None if snapshot is None else snapshot.snapshot_id,
        days=sum(1 for files in new.values() if files),
        removed_days=len(emptied) + len(gone),
        rows=sum(count_rows(files) for files in new.values()),
    )
