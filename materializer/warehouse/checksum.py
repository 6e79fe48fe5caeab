"""
Content: a short text that tells rows from any other rows, whatever their order.

Owns its two forms. Both are the number of rows and the sum of a hash of each: a sum, for an
exclusive-or would cancel two equal rows. MD5 over a text that is spelled out here is for what a
receipt must answer years later. DuckDB's own hash costs a tenth, is what the build ledger has, and
may change from one version of DuckDB to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from materializer.registry import Column
from materializer.registry.types import duckdb_type
from materializer.sql import prepare, quoted


def as_published(columns: Iterable[Column]) -> str:
    """List columns for SQL, each cast to the type in which it is published."""
    return ", ".join(
        f"cast({quoted(column.name)} as {duckdb_type(column.type)}) as {quoted(column.name)}"
        for column in columns
    )


def checksum_of_query(
    connection: duckdb.DuckDBPyConnection, query: str, columns: Sequence[Column]
) -> str:
    """
    Tell the content of a query's rows: `<rows>:<sum of MD5>`.

    Of each row, the last eight bytes of its MD5 as a number, lowest byte first. The text of a row
    is its values one after the other, each as `<characters>:<value>`, and a null as `-`.

    Args:
        connection: In UTC.
        query: Its rows, in any order.
        columns: Names and order of the columns that count.
    """
    text = " || ".join(_text(f"cast({quoted(column.name)} as varchar)") for column in columns)
    found = connection.execute(
        f"select count(*), coalesce(sum(md5_number_lower({text})::hugeint), 0) from ({query})"
    ).fetchall()
    return f"{found[0][0]}:{found[0][1]}"


def checksum_of_rows(rows: pa.Table, columns: Sequence[Column]) -> str:
    """Tell the content of rows at hand, as `checksum_of_query` does."""
    with duckdb.connect() as connection:
        prepare(connection)
        connection.register("rows", rows)
        return checksum_of_query(connection, 'select * from "rows"', columns)


def ledger_checksum(columns: Sequence[Column]) -> str:
    """Write the SQL aggregate that the ledger has of each day, see the macro `checksum_of_rows`."""
    values = ", ".join(
        f"cast({quoted(column.name)} as {duckdb_type(column.type)})" for column in columns
    )
    return f"concat(count(*), ':', coalesce(sum(hash({values})), 0))"


def sum_checksums(contents: Iterable[str | None]) -> str | None:
    """Add up the contents of parts; None when one of them is not known."""
    rows = hashes = 0
    for content in contents:
        if content is None:
            return None
        some, hashed = content.split(":")
        rows += int(some)
        hashes += int(hashed)
    return f"{rows}:{hashes}"


def _text(value: str) -> str:
    return f"coalesce(cast(length({value}) as varchar) || ':' || {value}, '-')"
