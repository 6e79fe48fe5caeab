"""
SQL as text, and private DuckDB engines that run it.

Responsible for quoting, and for opening an engine in memory: in UTC, with a memory limit, with a
temporary folder to spill to, and without a progress bar. Does not open the warehouse, which dbt
owns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb


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


@contextmanager
def open_engine(memory: str, **config: Any) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """
    Open an empty DuckDB in memory, which spills to disk beyond *memory*, e.g. `1GB`.

    Yields:
        The engine, and a temporary folder that is removed with it.
    """
    with tempfile.TemporaryDirectory(prefix="feature-store-") as name:
        folder = Path(name)
        settings = {"memory_limit": memory, "temp_directory": str(folder / "spill"), **config}
        with duckdb.connect(config=settings) as connection:
            prepare(connection)
            yield connection, folder


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Set what the SQL of this project relies on: UTC, and no progress bar."""
    connection.execute("set TimeZone = 'UTC'")
    # DuckDB would draw its own bar on standard output, where results go.
    connection.execute("set enable_progress_bar = false")
