"""
The types of a contract in Iceberg and in Arrow, and the checks of rows and tables against it.

Does not change the columns of a published table: readers, old snapshots and other engines need
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import IcebergType, IntegerType, ListType, NestedField

from materializer.errors import ContractMismatch
from materializer.offline.catalog import FIRST_DAY, LAST_DAY, REGISTRY
from materializer.registry import Column, FeatureGroup
from materializer.registry.types import element_type

# Above the number of any column.
_ELEMENTS = 100_000

_FIXED = "published columns are fixed: give the model a new name, or drop its Iceberg tables"

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
            if pa.types.is_integer(given) and given.bit_width <= 32:
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
            raise ContractMismatch(group=group, problem=str(error).split("\n", 1)[0]) from error


def check_rows(
    group: FeatureGroup, day: date, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one day; raise for a null key, another day, and what JSON cannot hold."""
    for batch in batches:
        for name in group.entity:
            if batch.column(name).null_count:
                raise ContractMismatch(group=group.name, problem=f"{day}: {name} is null")
        same = pc.all(pc.equal(batch.column(group.partition), day), skip_nulls=False)
        if not same.as_py():
            problem = f"the rows of {day} hold another {group.partition}"
            raise ContractMismatch(group=group.name, problem=problem)
        _check_finite(group, batch)
        yield batch


def _check_finite(group: FeatureGroup, batch: pa.RecordBatch) -> None:
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
            problem = (
                f"column {column.name} of {key} is NaN or infinite, which JSON cannot hold; "
                "make it null in the model"
            )
            raise ContractMismatch(group=group.name, problem=problem)


def check_group(group: FeatureGroup, table: Table) -> None:
    """Check that a group still has the key, partition and columns of its published table."""
    before = FeatureGroup.from_json(table.properties[REGISTRY])
    for name in ("entity", "partition"):
        old, now = getattr(before, name), getattr(group, name)
        if old != now:
            problem = f"{name} was published as {old}, and is {now} now; {_FIXED}"
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
