"""
Checksums: a short text that identifies a set of rows, whatever their order.

Responsible for the two forms, each an SQL aggregate that gives `<rows>:<sum of a hash of each>`: a
sum, since an exclusive-or would cancel two equal rows. Receipts have MD5 of a text that is defined
below, so that they can be verified years later. The build ledger has DuckDB's own hash, which costs
a tenth of that, and may change from one version of DuckDB to the next. Does not read tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from materializer.registry import Column
from materializer.registry.types import duckdb_type
from materializer.sql import prepare, quoted


def md5_checksum(columns: Sequence[Column]) -> str:
    """
    Return the SQL aggregate of MD5. It needs a connection in UTC.

    Of each row, the last eight bytes of its MD5 as a number, lowest byte first. The text of a row
    is its values one after the other, each as `<characters>:<value>`, and a null as `-`.
    """
    row = " || ".join(_text(f"cast({_published(column)} as varchar)") for column in columns)
    return f"concat(count(*), ':', coalesce(sum(md5_number_lower({row})::hugeint), 0))"


def ledger_checksum(columns: Sequence[Column]) -> str:
    """Return the SQL aggregate that the ledger has of each day: the macro `checksum_of_rows`."""
    values = ", ".join(map(_published, columns))
    return f"concat(count(*), ':', coalesce(sum(hash({values})), 0))"


def checksum_of_rows(rows: pa.Table, columns: Sequence[Column]) -> str:
    """Return the MD5 checksum of rows in memory."""
    with duckdb.connect() as connection:
        prepare(connection)
        connection.register("rows", rows)
        query = f'select {md5_checksum(columns)} from "rows"'
        return str(connection.execute(query).fetchall()[0][0])


def sum_checksums(checksums: Iterable[str]) -> str:
    """Return the checksum of all rows, from the checksums of parts of them in one form."""
    parts = [checksum.split(":") for checksum in checksums]
    return f"{sum(int(rows) for rows, _ in parts)}:{sum(int(hashes) for _, hashes in parts)}"


def _published(column: Column) -> str:
    return f"cast({quoted(column.name)} as {duckdb_type(column.type)})"


def _text(value: str) -> str:
    return f"coalesce(cast(length({value}) as varchar) || ':' || {value}, '-')"
