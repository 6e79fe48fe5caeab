"""
Reading: which data files a snapshot has, and their rows, streamed by Arrow or as SQL for DuckDB.

Responsible for how a column of a contract is found in the files (by Iceberg's field id, so that
files written under an older schema read right) and for copying files from elsewhere. Does not read
a table that lacks a column of the group, or has it in another type.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.utils.datetime import days_to_date

from materializer.errors import ContractMismatch, OfflineStoreUnavailable
from materializer.offline.catalog import full_name, translate_errors
from materializer.offline.schema import contract_type
from materializer.registry import Column
from materializer.registry.types import duckdb_type
from materializer.sql import literal, quoted

# Rows that are read from a file at once.
_BATCH = 204_800
_COPY_BYTES = 1 << 20


def data_files(table: Table, snapshot_id: int | None = None) -> list[DataFile]:
    """
    List the data files of a snapshot, the current one by default.

    Raises:
        OfflineStoreUnavailable: The snapshot holds row-level deletes, which only another engine
            writes; this store's readers do not apply them.
    """
    if snapshot_id is None and table.current_snapshot() is None:
        return []
    files = []
    for task in table.scan(row_filter=AlwaysTrue(), snapshot_id=snapshot_id).plan_files():
        if task.delete_files:
            raise OfflineStoreUnavailable(
                full_name(table), "it holds row-level deletes; compact the table"
            )
        files.append(task.file)
    return files


def files_by_day(table: Table, snapshot_id: int | None = None) -> dict[date, list[DataFile]]:
    """
    List the data files of a snapshot of a group by their partition.

    Returns:
        Files by day, in day order.
    """
    days: dict[date, list[DataFile]] = {}
    for file in data_files(table, snapshot_id):
        days.setdefault(partition_day(file), []).append(file)
    return dict(sorted(days.items()))


def partition_day(file: DataFile) -> date:
    """Return the day whose rows a data file holds."""
    value = file.partition[0]
    return value if isinstance(value, date) else days_to_date(value)


def read_files(
    table: Table, files: Iterable[DataFile], columns: Sequence[str]
) -> pa.RecordBatchReader:
    """Stream some columns of data files, file after file."""
    schema = pa.schema([table.schema().as_arrow().field(name) for name in columns])

    def batches() -> Iterator[Any]:
        for file in files:
            with table.io.new_input(file.file_path).open() as source:
                for batch in pq.ParquetFile(source).iter_batches(_BATCH, columns=list(columns)):
                    yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def count_rows(files: Iterable[DataFile]) -> int:
    """Count the rows of data files, from their statistics."""
    return sum(file.record_count for file in files)


class Parquet:
    """Some columns of one Iceberg table's data files."""

    def __init__(
        self, group: str, table: Table, schema: Schema, columns: Sequence[Column], folder: Path
    ) -> None:
        """
        Find the columns.

        Args:
            group: Group name, for errors.
            table: The table.
            schema: Its columns at the snapshot to read.
            columns: Those to read.
            folder: Where copies of files from elsewhere may be kept; made when needed.

        Raises:
            ContractMismatch: A column is missing or of another type.
        """
        self._table = table
        self._folder = folder
        self._copies: dict[str, str] = {}
        fields = [_field(group, schema, column) for column in columns]
        self._fields = f"map {{{', '.join(fields)}}}"
        self._casts = [
            f"cast({quoted(column.name)} as {duckdb_type(column.type)}) as {quoted(column.name)}"
            for column in columns
        ]
        nulls = [f"null::{duckdb_type(column.type)} as {quoted(column.name)}" for column in columns]
        self._empty = f"(select {', '.join(nulls)} where false)"

    def sql(self, locations: Sequence[str]) -> str:
        """
        Return the SQL of a relation: the columns, read from some files.

        Args:
            locations: As the manifests have them; none makes a relation without rows.

        Raises:
            OfflineStoreUnavailable: A file from elsewhere cannot be copied.
        """
        if not locations:
            return self._empty
        paths = ", ".join(literal(self.local(location)) for location in locations)
        return f"read_parquet([{paths}], schema = {self._fields}, hive_partitioning = false)"

    def sql_by_name(self, locations: Sequence[str]) -> str:
        """
        Return the same relation as `sql`, by the names of the columns where those never changed.

        So read, DuckDB applies the filters of a join while it reads, which takes half the time.

        Args:
            locations: As for `sql`.

        Raises:
            OfflineStoreUnavailable: A file from elsewhere cannot be copied.
        """
        if not locations or len(self._table.schemas()) > 1:
            return self.sql(locations)
        paths = ", ".join(literal(self.local(location)) for location in locations)
        rows = f"read_parquet([{paths}], hive_partitioning = false)"
        return f"(select {', '.join(self._casts)} from {rows})"

    def local(self, location: str) -> str:
        """
        Return where a file is on this machine, copied first if it lies elsewhere.

        Raises:
            OfflineStoreUnavailable: It cannot be copied.
        """
        if location.startswith("file:"):
            return location.removeprefix("file://").removeprefix("file:")
        if "://" not in location:
            return location
        if location not in self._copies:
            self._folder.mkdir(exist_ok=True)
            copy = self._folder / f"{len(self._copies)}.parquet"
            with (
                translate_errors(self._table.catalog.name),
                self._table.io.new_input(location).open() as remote,
                copy.open("wb") as local,
            ):
                shutil.copyfileobj(remote, local, _COPY_BYTES)
            self._copies[location] = str(copy)
        return self._copies[location]


def _field(group: str, schema: Schema, column: Column) -> str:
    """Return one entry of `read_parquet`'s schema."""
    try:
        field = schema.find_field(column.name)
    except ValueError:
        raise _mismatch(group, f"the published table has no column {column.name}") from None
    if contract_type(field.field_type) != column.type:
        raise _mismatch(
            group,
            f"column {column.name} is {field.field_type} in the published table and "
            f"{column.type} in the contract",
        )
    return (
        f"{field.field_id}: {{name: {literal(column.name)}, "
        f"type: '{duckdb_type(column.type)}', default_value: null}}"
    )


def _mismatch(group: str, problem: str) -> ContractMismatch:
    return ContractMismatch(group=group, problem=f"{problem}; run: materializer publish")
