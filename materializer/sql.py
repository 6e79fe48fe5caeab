"""
SQL as text, and private DuckDB engines that run it.

Responsible for quoting, for opening an engine in memory (in UTC, with a memory limit, with a
temporary folder to spill to, and without a progress bar), and for telling whether a query only
reads. Does not open the warehouse, which dbt owns.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from materializer.scratch import ScratchFolder

# What DuckDB's parser calls the parts of a query that only read. A CTE may also insert, or copy.
_READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
# The others read files, change settings, or run text as SQL.
_ROW_FUNCTIONS = {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each"}


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_list(names: Iterable[str]) -> str:
    """Return names as SQL identifiers, separated by commas."""
    return ", ".join(map(quoted, names))


def literal(text: str) -> str:
    """Return a text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def parquet_rows(path: Path | str) -> str:
    """Return the SQL of a relation: the rows of a Parquet file, without columns for its folders."""
    return f"read_parquet({literal(str(path))}, hive_partitioning = false)"


def numbered_parquet_rows(path: Path, number: str) -> str:
    """Return the query of the rows of a Parquet file with their numbers, from 0, as a column."""
    rows = f"read_parquet({literal(str(path))}, file_row_number = true, hive_partitioning = false)"
    return f"select * rename (file_row_number as {number}) from {rows}"


def temporary_folder() -> ScratchFolder:
    """Make a temporary folder, which is removed at the end."""
    return ScratchFolder("feature-store-")


@contextmanager
def open_engine(memory: str, **config: Any) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """
    Open an empty DuckDB in memory, which spills to disk beyond *memory*, e.g. `1GB`.

    Yields:
        The engine, and a temporary folder that is removed with it.
    """
    with temporary_folder() as folder:
        settings = {"memory_limit": memory, "temp_directory": str(folder / "spill"), **config}
        with duckdb.connect(config=settings) as connection:
            prepare(connection)
            yield connection, folder


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Set what the SQL of this project relies on: UTC, and no progress bar."""
    connection.execute("set TimeZone = 'UTC'")
    # DuckDB would draw its own bar on standard output, where results go.
    connection.execute("set enable_progress_bar = false")


def require_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """
    Check, by DuckDB's own parser, that a query is one `select` that changes nothing.

    Raises:
        ValueError: It is not; the text says why.
        duckdb.ParserException: It is no SQL.
    """
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise ValueError("it is more than one statement" if statements else "it is empty")
    [(text,)] = connection.execute("select json_serialize_sql(?::varchar)", [query]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        raise ValueError("it is not a select")
    for part in _parts(tree["statements"]):
        kind = str(part.get("type"))
        if kind.endswith("_NODE") and kind not in _READING_NODES:
            raise ValueError("it does more than select")
        if kind == "TABLE_FUNCTION":
            function = part["function"]["function_name"].lower()
            if function not in _ROW_FUNCTIONS:
                raise ValueError(f"it calls the table function {function}")


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _parts(branch)


@contextmanager
def interrupt_after(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what a connection runs when the time is over; it raises `InterruptException`."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
