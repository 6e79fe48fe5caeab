"""
Content: a short text that tells rows from any other rows, whatever their order.

Owns its two forms. Both are the number of rows and the sum of a hash of each: a sum, for an
exclusive-or would cancel two equal rows. MD5 of the text of a row is the same in every version of
DuckDB, and is for what a receipt must answer years later. DuckDB's own hash costs a tenth, is what
the build ledger has, and may change with DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from materializer.registry import Column

# Contract type -> DuckDB type; a decimal is called the same.
_TYPES = {
    "string": "varchar",
    "int64": "bigint",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}


def duckdb_type(column: Column) -> str:
    """Name the DuckDB type of a column."""
    return _TYPES.get(column.type, column.type)


def as_published(columns: Iterable[Column]) -> str:
    """List columns for SQL, each cast to the type in which it is published."""
    return ", ".join(
        f"cast({_quoted(column)} as {duckdb_type(column)}) as {_quoted(column)}"
        for column in columns
    )


def content_of_query(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Tell the content of a query's rows: `<rows>:<sum of MD5>`."""
    # The name of the subquery stands for its whole row.
    found = connection.execute(
        "select count(*), coalesce(sum(md5_number_lower(cast(content as varchar))::hugeint), 0) "
        f"from ({query}) as content"
    ).fetchall()
    return f"{found[0][0]}:{found[0][1]}"


def content_of_rows(rows: pa.Table) -> str:
    """Tell the content of rows at hand, as `content_of_query` does."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("rows", rows)
        return content_of_query(connection, 'select * from "rows"')


def ledger_content(columns: Sequence[Column]) -> str:
    """Write the SQL aggregate that the ledger has of each day, see the macro `content_of_rows`."""
    values = ", ".join(
        f"cast({_quoted(column)} as bigint)" if column.type == "int64" else _quoted(column)
        for column in columns
    )
    return f"concat(count(*), ':', coalesce(sum(hash({values})), 0))"


def sum_contents(contents: Iterable[str | None]) -> str | None:
    """Add up the contents of parts; None when one of them is not known."""
    rows = hashes = 0
    for content in contents:
        if content is None:
            return None
        some, hashed = content.split(":")
        rows += int(some)
        hashes += int(hashed)
    return f"{rows}:{hashes}"


def _quoted(column: Column) -> str:
    return '"' + column.name.replace('"', '""') + '"'
