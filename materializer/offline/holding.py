"""
Which of the rows that lookups found do not hold at their times.

Responsible for the closing rows among them: what makes one is a condition in SQL, which is asked
only of rows that hold no longer without it. Does not know the rule: see `registry.validity`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from materializer.errors import LookupMiss
from materializer.offline.snapshot import GroupSnapshot
from materializer.registry.validity import why_no_row
from materializer.sql import prepare

Row = Mapping[str, Any]


def why_none_holds(
    snapshot: GroupSnapshot, rows: Mapping[int, Row], times: Mapping[int, datetime]
) -> dict[int, type[LookupMiss]]:
    """Return, by number, why a row [times naive, in UTC] is none at its time [aware]."""
    group = snapshot.group

    def why(number: int, built_since: int) -> type[LookupMiss] | None:
        available_at = rows[number][group.available_at].replace(tzinfo=UTC)
        return why_no_row(group, available_at, times[number], built_since)

    misses = {number: miss for number in rows if (miss := why(number, 0))}
    built_since = {number: snapshot.built_since(rows[number][group.partition]) for number in misses}
    may_hold = [number for number, days in built_since.items() if days and not why(number, days)]
    for number in _closing_rows(snapshot, {number: rows[number] for number in may_hold}):
        del misses[number]
    return misses


def _closing_rows(snapshot: GroupSnapshot, rows: Mapping[int, Row]) -> list[int]:
    """Return the numbers of the rows that meet the group's `closing_row`."""
    if not rows:
        return []
    schema = snapshot.table.schema().as_arrow()
    # A cursor is a connection of its own, so that threads do not meet.
    with _engine().cursor() as connection:
        prepare(connection)
        connection.register("rows", pa.Table.from_pylist(list(rows.values()), schema=schema))
        flags = connection.execute(f"select {snapshot.group.closing_row} from rows").fetchall()
    return [number for number, (is_closing,) in zip(rows, flags, strict=True) if is_closing]


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    # Opening one takes longer than a lookup.
    return duckdb.connect(config={"threads": 1})
