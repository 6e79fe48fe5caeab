"""
Reading a CSV file as RFC 4180 has it, with every value as text.

Responsible for the SQL that reads it and for counting its rows by other means. What does not fit is
an error with its line; a dialect guessed from the first lines would lose rows further down. The dbt
macro `file_parts` reads the inputs of a build in the same way, and a test compares the two.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from materializer.errors import LabelsUnusable
from materializer.sql import literal

# Neither occurs in text that people write; DuckDB needs some delimiter and some text for null.
_NO_DELIMITER = "\x01\x02\x03\x04"
_NO_NULL = "\x02"
# Longest line [bytes].
_LINE = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    How a CSV file is written.

    Attributes:
        delimiter: Between fields: one character.
        quote: Around a field that has a delimiter in it, doubled inside; empty for none.
    """

    delimiter: str = ","
    quote: str = '"'


def csv_rows(connection: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect) -> str:
    """Return the relation of the rows of a file; raise `LabelsUnusable` for its first line."""
    header = connection.execute(f"select line from {_lines(path)} limit 1").fetchone()
    if header is None:
        raise LabelsUnusable(path, "it is empty; its first line must name its columns")
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in _names(path, header[0], dialect))
    quote = literal(dialect.quote)
    return (
        f"read_csv({literal(str(path))}, columns = {{{columns}}}, header = true, "
        f"auto_detect = false, delim = {literal(dialect.delimiter)}, quote = {quote}, "
        f"escape = {quote}, comment = '', skip = 0, nullstr = '', null_padding = false, "
        f"ignore_errors = false, strict_mode = true, max_line_size = {_LINE}, "
        "hive_partitioning = false)"
    )


def count_lines(connection: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect) -> int:
    """Return the number of rows below the header; a line that ends inside quotes ends no row."""
    quote = literal(dialect.quote)
    quotes = f"length(line) - length(replace(line, {quote}, ''))" if dialect.quote else "0"
    [(rows,)] = connection.execute(
        "select count(*) filter (is_end and length(line) > 0) from "
        f"(select line, sum({quotes}) over (order by n) % 2 = 0 as is_end "
        f"from (select line, row_number() over () as n from {_lines(path)}))"
    ).fetchall()
    return max(int(rows) - 1, 0)


def _lines(path: Path) -> str:
    return (
        f"read_csv({literal(str(path))}, columns = {{'line': 'VARCHAR'}}, header = false, "
        f"auto_detect = false, delim = {literal(_NO_DELIMITER)}, quote = '', escape = '', "
        f"comment = '', nullstr = {literal(_NO_NULL)}, strict_mode = false, "
        f"max_line_size = {_LINE}, hive_partitioning = false)"
    )


def _names(path: Path, header: str, dialect: Dialect) -> Sequence[str]:
    [fields] = csv.reader(
        [header],
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
    )
    names = [field.strip() for field in fields]
    lower = [name.lower() for name in names]
    for name in names:
        if not name or lower.count(name.lower()) > 1:
            what = f"two columns are called {name}" if name else "a column has no name"
            raise LabelsUnusable(path, f"{what}; its first line must name each")
    return names
