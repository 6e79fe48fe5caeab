"""
Reading Iceberg's data files with DuckDB.

Owns how a column of a contract is found in them (by Iceberg's field id, so that files written under
an older schema read right) and how a file that lies elsewhere gets here. Refuses a table that lacks
a column of the group, or has it in another type.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    StringType,
    TimestampType,
)

from materializer.errors import ContractMismatch
from materializer.offline.catalog import translate_errors
from materializer.registry import Column
from materializer.registry.types import duckdb_type, element_type
from materializer.sql import literal, quoted

_ICEBERG: dict[str, tuple[type[IcebergType], ...]] = {
    "string": (StringType,),
    "int64": (LongType, IntegerType),
    "double": (DoubleType, FloatType),
    "boolean": (BooleanType,),
    "date": (DateType,),
    "timestamp": (TimestampType,),
}
_COPY_BYTES = 1 << 20


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
        Write the relation of the columns of some files.

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
        Write the same relation as `sql`, by the names of the columns where those never changed.

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
        Tell where a file is on this machine, after it was copied here if need be.

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
    """Write one entry of `read_parquet`'s schema."""
    try:
        field = schema.find_field(column.name)
    except ValueError:
        raise _mismatch(group, f"the published table has no column {column.name}") from None
    if not _fits(column.type, field.field_type):
        raise _mismatch(
            group,
            f"column {column.name} is {field.field_type} in the published table and "
            f"{column.type} in the contract",
        )
    return (
        f"{field.field_id}: {{name: {literal(column.name)}, "
        f"type: '{duckdb_type(column.type)}', default_value: null}}"
    )


def _fits(kind: str, stored: IcebergType) -> bool:
    if isinstance(stored, ListType):
        element = element_type(kind)
        return element is not None and _fits(element, stored.element_type)
    if isinstance(stored, DecimalType):
        return kind == f"decimal({stored.precision},{stored.scale})"
    return isinstance(stored, _ICEBERG.get(kind, ()))


def _mismatch(group: str, problem: str) -> ContractMismatch:
    return ContractMismatch(group=group, problem=f"{problem}; run: materializer publish")
