"""
Publishing days of a group, or all rows of another table, to Iceberg.

Responsible for the order of things: write the files, let the removal guard compare them with what
is published, commit, then bring the spans up to date, which makes the commit visible. Does not know
the warehouse: rows come from a callable. The caller holds the run lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import TypeAlias

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

from materializer.days import day_ranges
from materializer.errors import ContractMismatch
from materializer.offline.activity import update_spans
from materializer.offline.catalog import (
    BUILT_DAYS,
    FIRST_DAY,
    LAST_DAY,
    LEDGER_SEQUENCE,
    NEWEST_DAY,
    WAREHOUSE_ID,
    described_snapshot,
    ensure_store,
    find_table,
    full_name,
    publish_summary,
    registry_properties,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.read import DayFiles, count_rows, data_files, files_by_day
from materializer.offline.removals import check_removals
from materializer.offline.schema import (
    check_columns,
    check_group,
    conform,
    iceberg_schema,
)
from materializer.offline.values import check_rows
from materializer.offline.write import (
    SORTER_MEMORY,
    commit,
    delete_on_error,
    open_table,
    set_schema,
    sort_rows,
    write_files,
)
from materializer.registry import Column, FeatureGroup
from materializer.sql import open_engine

_FIRST_PARTITION_FIELD = 1000

Rows: TypeAlias = "pa.Table | pa.RecordBatchReader"
# Returns the rows of one day, in any order, in the columns of the contract.
DayRows: TypeAlias = "Callable[[date], Rows]"


@dataclass(frozen=True, slots=True)
class PublishReport:
    """
    What one publish did.

    Attributes:
        snapshot_id: The group's snapshot that readers now see; None before the first day.
        days: Days that were replaced and have rows.
        removed_days: Days that had rows and have none now.
    """

    snapshot_id: int | None
    days: int = 0
    removed_days: int = 0
    rows: int = 0

    def __str__(self) -> str:
        removed = f", {self.removed_days:,} removed" if self.removed_days else ""
        return f"{self.rows:,} rows in {self.days:,} days{removed}"

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON; the id as text, as some JSON readers parse numbers as doubles."""
        return {**asdict(self), "snapshot_id": str(self.snapshot_id)}


@dataclass(frozen=True, slots=True)
class LastPublish:
    """
    The last publish of a table.

    Attributes:
        ledger_sequence: The newest build it holds.
        newest_day: The newest day with rows.
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

    def holds(self, warehouse_id: str, sequence: int, built_at: datetime) -> bool:
        """Return whether a build of a warehouse is published."""
        return (
            self.warehouse_id == warehouse_id
            and self.ledger_sequence >= sequence
            # The numbers of a ledger that was deleted start over; then the times decide.
            and self.published_at >= built_at
        )


def last_published(catalog: Catalog, group: str) -> LastPublish | None:
    """Return the last publish of a group or another model, from metadata alone; None without."""
    table = find_table(catalog, table_name(group))
    current = None if table is None else table.current_snapshot()
    if table is None or current is None or not (summary := publish_summary(table, current)):
        return None
    spans = find_table(catalog, spans_name(group))
    with translate_errors(full_name(table)):
        newest = summary.get(NEWEST_DAY)
        return LastPublish(
            warehouse_id=summary[WAREHOUSE_ID],
            ledger_sequence=int(summary[LEDGER_SEQUENCE]),
            snapshot_id=current.snapshot_id,
            newest_day=date.fromisoformat(newest) if newest else None,
            rows=int((current.summary and current.summary["total-records"]) or 0),
            published_at=datetime.fromtimestamp(current.timestamp_ms / 1000, UTC),
            visible=described_snapshot(spans) == current.snapshot_id,
        )


def publish_days(
    catalog: Catalog,
    group: FeatureGroup,
    *,
    days: Iterable[date],
    rows: DayRows,
    warehouse_id: str,
    ledger_sequence: int,
    built_days: Iterable[date] = (),
    allow_removals: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PublishReport:
    """
    Replace days of a group in one commit. Without days, finish what a killed publish left.

    Args:
        catalog: Where the group's table is, or will be.
        group: Published with the data.
        days: Days to replace; a day without rows is removed.
        rows: Called once for each day, in order.
        warehouse_id: Kept with the snapshot. Days of another warehouse are removed.
        ledger_sequence: Kept with the snapshot.
        built_days: Every built day in order, empty ones too; kept if the group has closing rows.
        allow_removals: Remove days and entities unchecked.
        progress: Called after each day with the days done and all days.

    Raises:
        ContractMismatch, RemovalsRefused: The rows may not go out; nothing changed.
        OfflineStoreUnavailable: The store cannot be read or written.
    """
    days = sorted(set(days))
    group = replace(group, store_id=ensure_store(catalog))
    table = _open_group_table(catalog, group, rows, days)
    if table is None:
        return PublishReport(snapshot_id=None)
    published, replaced = _days_before(table, warehouse_id, days)
    with delete_on_error(table.io) as paths, open_engine(SORTER_MEMORY) as (connection, _):
        for number, day in enumerate(days, start=1):
            replaced[day] = _write_day(connection, group, table, day, rows(day))
            paths += [file.file_path for file in replaced[day]]
            progress(number, len(days))
        if not allow_removals:
            check_removals(connection, group, table, published, replaced)
    properties = {WAREHOUSE_ID: warehouse_id, LEDGER_SEQUENCE: str(ledger_sequence)}
    if group.closing_row:
        properties[BUILT_DAYS] = ", ".join(map(str, day_ranges(built_days)))
    _commit_days(group, table, published, replaced, properties)
    update_spans(catalog, group, table)
    return _report(table, published, replaced)


def publish_table(
    catalog: Catalog,
    name: str,
    rows: Rows,
    *,
    columns: Sequence[Column],
    snapshot_properties: Mapping[str, str],
    columns_may_change: bool = False,
) -> int:
    """
    Replace all rows of an unpartitioned table in one commit, and return the new snapshot's id.

    Rows are consumed once, streaming, and stored in their order. When *columns_may_change*, the
    table gets these columns, whatever it had; its older snapshots keep theirs.
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


def _open_group_table(
    catalog: Catalog, group: FeatureGroup, rows: DayRows, days: Sequence[date]
) -> Table | None:
    """Open or create the table of a group; None when it has no table and no days to publish."""
    table = find_table(catalog, table_name(group.name))
    if table is not None and table.current_snapshot() is not None:
        check_group(group, table)
        return table
    if not days:
        return None
    clash = {FIRST_DAY, LAST_DAY}.intersection(group.entity)
    if clash:
        raise ContractMismatch(group=group.name, problem=f"a key cannot be called {clash.pop()}")
    schema = iceberg_schema(group.columns, rows(days[0]).schema)
    day = schema.find_field(group.partition)
    field = PartitionField(day.field_id, _FIRST_PARTITION_FIELD, IdentityTransform(), day.name)
    return open_table(catalog, table_name(group.name), schema, PartitionSpec(field))


def _write_day(
    connection: duckdb.DuckDBPyConnection, group: FeatureGroup, table: Table, day: date, rows: Rows
) -> list[DataFile]:
    schema, folder = table.schema().as_arrow(), f"{group.partition}={day}/"
    batches = check_rows(group, day, conform(group.name, rows, schema))
    ordered = sort_rows(connection, schema, batches, group.entity)
    with translate_errors(full_name(table)):
        return write_files(table, ordered, keys=group.entity, folder=folder)


def _days_before(
    table: Table, warehouse_id: str, days: Sequence[date]
) -> tuple[DayFiles, dict[date, Sequence[DataFile]]]:
    """Return the files of each published day, and the days to remove, of another warehouse."""
    with translate_errors(full_name(table)):
        published = files_by_day(table)
    if publish_summary(table, table.current_snapshot()).get(WAREHOUSE_ID) == warehouse_id:
        return published, {}
    return published, {day: () for day in published if day not in days}


def _commit_days(
    group: FeatureGroup,
    table: Table,
    published: DayFiles,
    replaced: DayFiles,
    properties: Mapping[str, str],
) -> None:
    """Commit the replaced days and the properties that changed, if there are any."""
    after = {**published, **replaced}
    newest = max((str(day) for day, files in after.items() if files), default="")
    properties = {**properties, NEWEST_DAY: newest}
    registry = registry_properties(group.to_json())
    known = properties.items() <= publish_summary(table, table.current_snapshot()).items()
    if known and not replaced and registry.items() <= table.properties.items():
        return
    commit(
        table,
        add=[file for files in replaced.values() for file in files],
        remove=[file for day in replaced for file in published.get(day, ())],
        snapshot_properties=properties,
        properties=registry,
    )


def _report(table: Table, published: DayFiles, replaced: DayFiles) -> PublishReport:
    snapshot = table.current_snapshot()
    return PublishReport(
        snapshot_id=None if snapshot is None else snapshot.snapshot_id,
        days=sum(1 for files in replaced.values() if files),
        removed_days=sum(1 for day in replaced if day in published and not replaced[day]),
        rows=sum(map(count_rows, replaced.values())),
    )
