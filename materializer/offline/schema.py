"""
Shapes: what a contract is in Iceberg, and what is refused because it does not fit.

Owns the mapping of types, and the checks of rows and registry entries against a published table.
Refuses to change a published table's columns: readers, old snapshots and other engines need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
)

from materializer.errors import ContractMismatch
from materializer.offline.catalog import REGISTRY
from materializer.registry import Column, FeatureGroup
from materializer.registry.types import element_type

# Beyond the number of any column.
_ELEMENTS = 100_000

_NEW = "published columns are fixed: give the model a new name, or drop its Iceberg tables"

_TYPES: dict[str, IcebergType] = {
    "string": StringType(),
    "int64": LongType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "timestamp": TimestampType(),
}


def iceberg_schema(columns: Sequence[Column], rows: pa.Schema) -> Schema:
    """
    Make the Iceberg schema of a contract.

    Args:
        columns: Names and types of the contract, in order.
        rows: Schema of the rows; it tells 32-bit integers, which stay `int`, from 64-bit ones.
    """
    fields = [
        NestedField(number, column.name, _iceberg_type(column, rows, number), required=False)
        for number, column in enumerate(columns, start=1)
    ]
    return Schema(*fields)


def _iceberg_type(column: Column, rows: pa.Schema, number: int) -> IcebergType:
    element = element_type(column.type)
    if element:
        # A new table numbers its fields anew; here the numbers only must differ.
        return ListType(_ELEMENTS + number, _scalar(element), element_required=False)
    if column.type == "int64":
        narrow = pa.types.is_integer(rows.field(column.name).type) and (
            rows.field(column.name).type.bit_width <= 32
        )
        return IntegerType() if narrow else LongType()
    return _scalar(column.type)


def _scalar(kind: str) -> IcebergType:
    if kind.startswith("decimal("):
        precision, scale = kind[len("decimal(") : -1].split(",")
        return DecimalType(int(precision), int(scale))
    return _TYPES[kind]


def contract_type(type_: IcebergType) -> str:
    """Name an Iceberg type as contracts do."""
    if isinstance(type_, ListType):
        return f"array<{contract_type(type_.element_type)}>"
    if isinstance(type_, DecimalType):
        return f"decimal({type_.precision},{type_.scale})"
    if isinstance(type_, IntegerType | LongType):
        return "int64"
    return next((name for name, known in _TYPES.items() if known == type_), str(type_))


def _arrow_kind(type_: pa.DataType) -> str:
    if isinstance(type_, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        return f"list of {_arrow_kind(type_.value_type)}"
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "string"
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_timestamp(type_):
        return "timestamp" if type_.tz is None else str(type_)
    return str(type_)


def conform(group: str, rows: pa.Table | pa.RecordBatchReader, wanted: pa.Schema) -> Iterator[Any]:
    """
    Yield the record batches of *rows* in exactly the columns and types of *wanted*.

    Raises:
        ContractMismatch: A column is missing, surplus, of another type, or holds a value that
            does not fit.
    """
    missing = [name for name in wanted.names if name not in rows.schema.names]
    surplus = [name for name in rows.schema.names if name not in wanted.names]
    if missing or surplus:
        raise ContractMismatch(
            group=group, problem=f"the rows lack {missing or 'nothing'}, and surplus is {surplus}"
        )
    for field in wanted:
        given, kind = _arrow_kind(rows.schema.field(field.name).type), _arrow_kind(field.type)
        if given != kind:
            raise ContractMismatch(group=group, problem=f"{field.name} is {given}, not {kind}")
    for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
        try:
            yield batch.select(wanted.names).cast(wanted)
        except pa.ArrowInvalid as error:
            raise ContractMismatch(group=group, problem=str(error).split("\n", 1)[0]) from error


def check_group(group: FeatureGroup, table: Table) -> None:
    """
    Refuse a group that no longer fits its published table.

    Raises:
        ContractMismatch: Entity, partition, or a column's name or type changed.
    """
    text = table.properties.get(REGISTRY)
    before = group if text is None else FeatureGroup.from_json(text)
    for what, old, now in [
        ("entity", before.entity, group.entity),
        ("partition", before.partition, group.partition),
    ]:
        if old != now:
            raise ContractMismatch(
                group=group.name, problem=f"{what} was published as {old}, and is {now} now; {_NEW}"
            )
    check_columns(group.name, table, group.columns)


def check_columns(name: str, table: Table, columns: Sequence[Column]) -> None:
    """
    Refuse columns that are not the published table's.

    Raises:
        ContractMismatch: A column came, went, or has another type.
    """
    published = {f.name: contract_type(f.field_type) for f in table.schema().fields}
    declared = {column.name: column.type for column in columns}
    problems = [
        f"{column} was published as {published.get(column, 'nothing')}, "
        f"and is {declared.get(column, 'gone')} now"
        for column in sorted({*published, *declared})
        if published.get(column) != declared.get(column)
    ]
    if problems:
        raise ContractMismatch(group=name, problem=f"{'; '.join(problems)}; {_NEW}")
