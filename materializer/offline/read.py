"""
Reading: which data files a snapshot has, and their rows, streamed by Arrow or as SQL for DuckDB.

Responsible for finding the columns of a contract in the files (by Iceberg's field id, so that files
of an older schema are read correctly) and for copying remote files. Does not read a table that
lacks a column of the group, or has it in another type.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.utils.datetime import days_to_date

from materializer.errors import ContractMismatch, OfflineStoreUnavailable
from materializer.offline.catalog import full_name, translate_errors
from materializer.offline.files import CHUNK, check_whole, crc_of, is_checked, open_parquet
from materializer.offline.schema import contract_type
from materializer.registry import Column
from materializer.registry.types import duckdb_type
from materializer.sql import literal, quoted

# So many rows are read from a file at a time.
_BATCH = 204_800

DayFiles: TypeAlias = "Mapping[date, Sequence[DataFile]]"


def data_files(table: Table, snapshot_id: int | None = None) -> list[DataFile]:
    """List the data files of a snapshot, the current one by default."""
    files = []
    for task in table.scan(snapshot_id=snapshot_id).plan_files():
        # Only other engines write row-level deletes, and our readers do not apply them.
        if task.delete_files:
            raise OfflineStoreUnavailable(
                full_name(table), "it holds row-level deletes; compact the table"
            )
        files.append(task.file)
    return files


def files_by_day(table: Table, snapshot_id: int | None = None) -> dict[date, list[DataFile]]:
    """Return the data files of a snapshot of a group by day, in day order."""
    days: dict[date, list[DataFile]] = {}
    for file in data_files(table, snapshot_id):
        days.setdefault(partition_day(file), []).append(file)
    return dict(sorted(days.items()))


def partition_day(file: DataFile) -> date:
    """Return the day whose rows a data file of a snapshot holds."""
    return days_to_date(file.partition[0])


def read_files(
    table: Table, files: Iterable[DataFile], columns: Sequence[str]
) -> pa.RecordBatchReader:
    """Stream some columns of data files, file after file."""
    schema = pa.schema([table.schema().as_arrow().field(name) for name in columns])

    def batches() -> Iterator[Any]:
        for file in files:
            with open_parquet(table.io, file.file_path) as parquet:
                for batch in parquet.iter_batches(_BATCH, columns=list(columns)):
                    yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def count_rows(files: Iterable[DataFile]) -> int:
    """Count the rows of data files, from their statistics."""
    return sum(file.record_count for file in files)


class Parquet:
    """Some columns of one Iceberg table's data files."""

    def __init__(
        self,
        table: Table,
        columns: Sequence[Column],
        folder: Path,
        snapshot_id: int | None = None,
    ) -> None:
        """
        Find the columns in a snapshot, the current one by default.

        *folder* is for copies of remote files; it is made when needed.

        Raises:
            ContractMismatch: A column is missing or of another type.
        """
        self._table = table
        self._folder = folder
        self._columns = columns
        self._local: dict[str, str] = {}
        schema = table.scan(snapshot_id=snapshot_id).projection()
        fields = [_field(table, schema, column) for column in columns]
        self._fields = f"map {{{', '.join(fields)}}}"

    def sql(self, locations: Sequence[str], *, by_name: bool = False) -> str:
        """
        Return the SQL of a relation: the columns of these files, of which there may be none.

        With *by_name* the columns are read by name if the schema never changed. DuckDB then applies
        the filters of a join while it reads, which takes half the time.
        """
        if not locations:
            return f"(select {self._cast(lambda name: 'null')} where false)"
        paths = ", ".join(literal(self.local(location)) for location in locations)
        if by_name and len(self._table.schemas()) == 1:
            rows = f"read_parquet([{paths}], hive_partitioning = false)"
            return f"(select {self._cast(quoted)} from {rows})"
        return f"read_parquet([{paths}], schema = {self._fields}, hive_partitioning = false)"

    def _cast(self, value: Callable[[str], str]) -> str:
        return ", ".join(
            f"cast({value(column.name)} as {duckdb_type(column.type)}) as {quoted(column.name)}"
            for column in self._columns
        )

    def local(self, location: str) -> str:
        """Return the path of a file on this machine, checked; a remote one is copied first."""
        if location not in self._local:
            with translate_errors(full_name(self._table)):
                self._local[location] = path = self._fetch(location)
                if is_checked(location):
                    check_whole(location, crc_of(Path(path)))
        return self._local[location]

    def _fetch(self, location: str) -> str:
        if location.startswith("file:"):
            return location.removeprefix("file://").removeprefix("file:")
        if "://" not in location:
            return location
        self._folder.mkdir(exist_ok=True)
        copy = self._folder / f"{len(self._local)}.parquet"
        with self._table.io.new_input(location).open() as remote, copy.open("wb") as local:
            shutil.copyfileobj(remote, local, CHUNK)
        return str(copy)


def _field(table: Table, schema: Schema, column: Column) -> str:
    """Return one entry of `read_parquet`'s schema."""
    fields = {field.name: field for field in schema.fields}
    published = {name: contract_type(field.field_type) for name, field in fields.items()}
    if published.get(column.name) != column.type:
        raise ContractMismatch(
            group=table.name()[-1],
            problem=f"column {column.name} was published as {published.get(column.name, 'nothing')}"
            f", and is {column.type} in the contract; run: materializer publish",
        )
    field = fields[column.name]
    return (
        f"{field.field_id}: {{name: {literal(column.name)}, "
        f"type: '{duckdb_type(column.type)}', default_value: null}}"
    )
