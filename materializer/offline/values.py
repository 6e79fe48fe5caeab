"""
Values that a group may not publish, because a reader could not find or give them.

Responsible for the last look at each row before it is written: keys and times that are there, and
numbers and times that JSON and Python can hold. Names the column and the key of the first row that
fails. Does not know where rows come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from materializer.errors import ContractMismatch
from materializer.registry import Column, FeatureGroup
from materializer.registry.types import element_type

# What Python and ISO 8601 can hold. DuckDB's infinity is the largest number there is.
_RANGES: Mapping[str, tuple[date, date]] = {
    "date": (date.min, date.max),
    "timestamp": (datetime.min, datetime.max),
}


def check_rows(
    group: FeatureGroup, day: date, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one day; raise for a row that no lookup could find, or JSON not hold."""
    for batch in batches:
        same = pc.all(pc.equal(batch.column(group.partition), day), skip_nulls=False)
        if not same.as_py():
            problem = f"the rows of {day} hold another {group.partition}"
            raise ContractMismatch(group=group.name, problem=problem)
        for name, bad, problem in _problems(group, batch):
            if rows := pc.indices_nonzero(bad).slice(0, 1).to_pylist():
                where = f"{day}: column {name}{_of_key(group, batch, rows[0])}"
                raise ContractMismatch(group=group.name, problem=f"{where} {problem}")
        yield batch


def _problems(group: FeatureGroup, batch: pa.RecordBatch) -> Iterator[tuple[str, Any, str]]:
    """Yield a column, which of its rows are bad, and why."""
    for name in filter(None, (*group.entity, group.available_at, group.event_time)):
        yield name, pc.is_null(batch.column(name)), "is null; drop such rows in the model"
    for column in group.keys:
        if column.type == "string":
            empty = pc.equal(batch.column(column.name), "")
            yield column.name, empty, "is empty, and could not be looked up; drop such rows"
    for column in group.columns:
        if (unfit := _unfit(column, batch.column(column.name))) is not None:
            yield column.name, *unfit


def _unfit(column: Column, values: Any) -> tuple[Any, str] | None:
    """Return which rows of a column no reader could give, and why; None if its type has none."""
    kind = element_type(column.type)
    elements = values if kind is None else pc.list_flatten(values)
    kind = kind or column.type
    if kind == "double":
        bad = pc.invert(pc.is_finite(elements))
        problem = "is NaN or infinite, which JSON cannot hold; make it null in the model"
    elif kind in _RANGES:
        low, high = (pa.scalar(end, elements.type) for end in _RANGES[kind])
        bad = pc.or_(pc.less(elements, low), pc.greater(elements, high))
        problem = "is not in the years 1 to 9999; make it null in the model"
    else:
        return None
    bad = pc.fill_null(bad, False)
    if elements is values:
        return bad, problem
    rows = pc.list_parent_indices(values).filter(bad)
    return pc.is_in(pa.array(range(len(values)), pa.int64()), rows.cast(pa.int64())), problem


def _of_key(group: FeatureGroup, batch: pa.RecordBatch, row: int) -> str:
    parts = [batch.column(name)[row] for name in group.entity]
    # As text by Arrow: Python cannot hold every date.
    key = ", ".join(str(part.cast(pa.string())) for part in parts if part.is_valid)
    return f" of {key}" if key else ""
