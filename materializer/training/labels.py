"""
A file of labels: which columns it has, and how its times and keys are read.

Responsible for the SQL that reads a label file (Parquet as it is, CSV as text) and for what a key
or a time may be written as. Does not guess: what can be read in two ways, such as a floating-point
id, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from materializer.errors import LabelsUnusable
from materializer.sql import numbered_parquet_rows, parquet_rows, quoted
from materializer.training.csv_file import Dialect, count_lines, csv_rows

_PARQUET = re.compile(r"\.(parquet|parq|pq)$")
_CSV = re.compile(r"\.(csv|tsv)(\.gz|\.zst)?$")
_INTEGER = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|DECIMAL\(\d+,0\)")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """
    A file of labels.

    Attributes:
        path: Absolute.
        relation: SQL of the relation of its rows.
        types: DuckDB's type of each column, by its name, in the order of the file.
        dialect: How a CSV file is written, None of a Parquet file.
    """

    path: Path
    relation: str
    types: Mapping[str, str]
    dialect: Dialect | None

    def numbered_sql(self, number: str) -> str:
        """Return the query of its rows with their numbers, from 0 in the order of the file."""
        if self.dialect is None:
            return numbered_parquet_rows(self.path, number)
        return f"select *, row_number() over () - 1 as {number} from {self.relation}"

    def require_whole(self, connection: duckdb.DuckDBPyConnection, rows: int) -> None:
        """Refuse a CSV file of which another number of rows was read than it has lines."""
        if self.dialect is None:
            return
        there = count_lines(connection, self.path, self.dialect)
        if there != rows:
            raise LabelsUnusable(
                self.path,
                f"{rows:,} rows were read and its lines make {there:,}; "
                "look for lines that are not of the format",
            )

    def column_type(self, name: str, option: str) -> str:
        """Return the type of a column; *option*, for the error, is the one that names a column."""
        if name not in self.types:
            known = ", ".join(self.types)
            raise LabelsUnusable(
                self.path, f"there is no column {name}; name it with {option}; it has {known}"
            )
        return self.types[name]

    def time_sql(self, name: str) -> str:
        """Return the SQL of a row's time, in UTC and microseconds, null when unreadable."""
        column = quoted(name)
        match self.column_type(name, "--time COLUMN"):
            case "TIMESTAMP":
                return column
            case "TIMESTAMP_S" | "TIMESTAMP_MS" | "DATE":
                return f"cast({column} as timestamp)"
            case "TIMESTAMP_NS" | "TIMESTAMPTZ_NS":
                # A cast would round 23:59:59.9999999 into the next day.
                nanos = f"epoch_ns({column})"
                return f"make_timestamp({nanos} // 1000 - cast({nanos} % 1000 < 0 as bigint))"
            case "TIMESTAMP WITH TIME ZONE":
                return f"timezone('UTC', {column})"
            case "VARCHAR":
                # As a plain timestamp the offset would be dropped silently.
                return f"timezone('UTC', try_cast({column} as timestamptz))"
            case kind:
                problem = f"column {name} is {kind}, and is to be a time; --time names another one"
                raise LabelsUnusable(self.path, problem)

    def key_sql(self, name: str, kind: str, key: str) -> str:
        """
        Return the SQL of a part of a row's key, null when missing or unreadable.

        *kind* is the contract's type of the group's key, *key* is `<group>.<key>`.
        """
        given, column = self.column_type(name, f"--on {key}=COLUMN"), quoted(name)
        is_integer = _INTEGER.fullmatch(given) is not None
        if kind == "string" and given == "VARCHAR":
            return f"nullif({column}, '')"
        if kind == "string" and (is_integer or given == "UUID" or given.startswith("ENUM")):
            return f"cast({column} as varchar)"
        if kind == "int64" and is_integer:
            return f"try_cast({column} as bigint)"
        if kind == "date" and given == "DATE":
            return column
        if kind in ("int64", "date") and given == "VARCHAR":
            # As a lookup reads it: 07 and 7.0 are not the number 7.
            read = f"try_cast({column} as {'bigint' if kind == 'int64' else 'date'})"
            return f"case when cast({read} as varchar) = {column} then {read} end"
        raise LabelsUnusable(
            self.path,
            f"column {name} is {given}, and {key} is {kind}; write it as {kind}, or as text",
        )


def open_labels(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    delimiter: str | None = None,
    quote: str | None = None,
) -> LabelFile:
    """
    Read the columns of a label file; no two of them may differ in case alone.

    The fields of a CSV file are separated by *delimiter*, else by tabs in a `.tsv` and by commas in
    a `.csv`; *quote* is `"` unless given.
    """
    if not path.is_file():
        raise LabelsUnusable(path, "there is no such file")
    if is_pattern(path):
        raise LabelsUnusable(path, "its path holds *, ? or [, which DuckDB takes for a pattern")
    absolute, dialect = path.resolve(), _dialect(path, delimiter, quote)
    try:
        names = pq.read_schema(path).names if dialect is None else None
        rows = csv_rows(connection, absolute, dialect) if dialect else parquet_rows(absolute)
        types = column_types(connection, rows)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise LabelsUnusable(path, " ".join(str(error).split())) from error
    # DuckDB renames the second of them, so it would not come out as it went in.
    if names is not None and names != list(types):
        twice = next(name for name in names if name not in types or names.count(name) > 1)
        raise LabelsUnusable(path, f"column {twice} differs from another one in case alone")
    return LabelFile(absolute, rows, types, dialect)


def _dialect(path: Path, delimiter: str | None, quote: str | None) -> Dialect | None:
    if _PARQUET.search(path.name):
        return None
    if not (csv := _CSV.search(path.name)):
        raise LabelsUnusable(path, "it is neither Parquet (.parquet) nor CSV (.csv)")
    return Dialect(delimiter or ("\t" if csv[1] == "tsv" else ","), '"' if quote is None else quote)


def column_types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return DuckDB's type of each column of a relation, by its name, in order."""
    described = connection.execute(f"describe select * from {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def is_pattern(path: Path) -> bool:
    """Return whether DuckDB would look for files that match a path."""
    return re.search(r"[*?\[]", str(path.resolve())) is not None
