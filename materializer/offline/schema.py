"""
The types of a contract in Iceberg and in Arrow, and the check of tables against it.

Does not change the columns of a published table: readers, old snapshots and other engines need
them. Does not look at values; see `values`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import IcebergType, IntegerType, ListType, NestedField

from materializer.errors import ContractMismatch, explain
from materializer.offline.catalog import (
    FIRST_DAY,
    LAST_DAY,
    registry_entry,
)
from materializer.registry import Column, FeatureGroup
from materializer.registry.types import element_type

# Above the number of any column.
_ELEMENTS = 100_000

_FIXED = "published columns are fixed: give the model a new name, or drop its Iceberg tables"
_FOREIGN = "drop them with the program that added them, or declare them in the model"

# Iceberg's other names are those of a contract. `int` comes from rows, `float` from other engines.
_CONTRACT: Mapping[str, str] = {"long": "int64", "int": "int64", "float": "double"}
_ARROW: Mapping[pa.DataType, str] = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.string_view(): "string",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.date32(): "date",
}


def iceberg_schema(columns: Sequence[Column], rows: pa.Schema | None = None) -> Schema:
    """Return the Iceberg schema of a contract; integers that have 32 bits in *rows* stay `int`."""
    fields = []
    for number, column in enumerate(columns, start=1):
        type_ = _iceberg_type(column.type, number)
        if rows is not None and column.type == "int64":
            given = rows.field(column.name).type
            signed = pa.types.is_signed_integer(given)
            if pa.types.is_integer(given) and given.bit_width <= (32 if signed else 16):
                type_ = IntegerType()
        fields.append(NestedField(number, column.name, type_, required=False))
    return Schema(*fields)


def span_columns(group: FeatureGroup) -> list[Column]:
    """Return the columns of the activity spans of a group."""
    return [*group.keys, Column(FIRST_DAY, "date"), Column(LAST_DAY, "date")]


def _iceberg_type(kind: str, number: int) -> IcebergType:
    if element := element_type(kind):
        # A new table renumbers its fields; until then the numbers only have to differ.
        return ListType(_ELEMENTS + number, _iceberg_type(element, number), element_required=False)
    # A field reads its type from text.
    return NestedField(number, kind, "long" if kind == "int64" else kind).field_type


def contract_type(type_: IcebergType) -> str:
    """Return the contract's name of an Iceberg type; Iceberg's own where a contract has none."""
    if isinstance(type_, ListType):
        return f"array<{contract_type(type_.element_type)}>"
    name = str(type_).replace(", ", ",")
    return _CONTRACT.get(name, name)


def _contract_type_of_rows(type_: pa.DataType) -> str:
    """Return the contract's name of an Arrow type; Arrow's own where a contract has none."""
    if isinstance(type_, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        return f"array<{_contract_type_of_rows(type_.value_type)}>"
    if isinstance(type_, pa.Decimal128Type):
        return f"decimal({type_.precision},{type_.scale})"
    if pa.types.is_integer(type_):
        return "int64"
    if pa.types.is_timestamp(type_) and type_.tz is None:
        return "timestamp"
    return _ARROW.get(type_, str(type_))


def conform(group: str, rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema) -> Iterator[Any]:
    """Yield the record batches of *rows* in exactly the columns and types of *schema*, or raise."""
    missing = [name for name in schema.names if name not in rows.schema.names]
    surplus = [name for name in rows.schema.names if name not in schema.names]
    if missing or surplus:
        raise ContractMismatch(
            group=group, problem=f"the rows lack {missing or 'nothing'}, and surplus is {surplus}"
        )
    for field in schema:
        given = _contract_type_of_rows(rows.schema.field(field.name).type)
        declared = _contract_type_of_rows(field.type)
        if given != declared:
            raise ContractMismatch(group=group, problem=f"{field.name} is {given}, not {declared}")
    for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
        try:
            yield batch.select(schema.names).cast(schema)
        except pa.ArrowInvalid as error:
            name = next(field.name for field in schema if not _fits(batch, field))
            raise ContractMismatch(group=group, problem=f"{name}: {explain(error)}") from error


def _fits(batch: pa.RecordBatch, field: pa.Field) -> bool:
    try:
        batch.column(field.name).cast(field.type)
    except pa.ArrowInvalid:
        return False
    return True


def check_group(group: FeatureGroup, table: Table) -> None:
    """Check that a group still has the key, partition and columns of its published table."""
    before = FeatureGroup.from_json(registry_entry(table))
    for name in ("entity", "partition"):
        old, now = getattr(before, name), getattr(group, name)
        if old != now:
            problem = f"{name} was published as {old}, and is {now} now; {_FIXED}"
            raise ContractMismatch(group=group.name, problem=problem)
    known = {column.name for column in (*before.columns, *group.columns)}
    foreign = [field.name for field in table.schema().fields if field.name not in known]
    if foreign:
        problem = f"its table has columns that no publish made: {', '.join(foreign)}; {_FOREIGN}"
        raise ContractMismatch(group=group.name, problem=problem)
    check_columns(group.name, table, group.columns)


def check_columns(name: str, table: Table, columns: Sequence[Column]) -> None:
    """Check that columns are those of the published table, by name and type."""
    published = {f.name: contract_type(f.field_type) for f in table.schema().fields}
    declared = {column.name: column.type for column in columns}
    problems = [
        f"{column} was published as {published.get(column, 'nothing')}, "
        f"and is {declared.get(column, 'gone')} now"
        for column in sorted({*published, *declared})
        if published.get(column) != declared.get(column)
    ]
    if problems:
        raise ContractMismatch(group=name, problem=f"{'; '.join(problems)}; {_FIXED}")
