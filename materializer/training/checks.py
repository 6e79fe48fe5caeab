"""
What is checked of a training set made on demand, before anybody sees it.

Owns the checks that need neither dbt nor events: the labels come out as they went in, and nobody
sees a row before it was available. That of the rows a label might see only one holds is checked by
`joining`, where they are found. Refuses to trust the join: it looks at what was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from materializer.errors import TrainingSetRefused
from materializer.sql import literal, quoted


def require_no_future(
    connection: duckdb.DuckDBPyConnection, group: str, found: str, asked: str
) -> None:
    """
    Refuse rows that were not available yet.

    Args:
        connection: Holds both tables.
        group: The group's name, for the error.
        found: Table of what labels see, with `n` and `available_at`.
        asked: Table of what they ask, with `n` and `asked_at`.

    Raises:
        TrainingSetRefused: A label sees a row that became available after it.
    """
    [(count, first)] = connection.execute(
        f"select count(*), min(asked.n) from {found} as found join {asked} as asked using (n) "
        "where available_at > asked_at"
    ).fetchall()
    if count:
        raise TrainingSetRefused(
            f"{count:,} labels see a row of {group} that was not available yet, such as the label "
            f"of row {first + 1}"
        )


def require_conserved(
    connection: duckdb.DuckDBPyConnection,
    given: str,
    written: Path,
    columns: Iterable[str],
    number: str,
) -> str:
    """
    Refuse a file that has not each label once, in its place.

    Args:
        connection: In UTC.
        given: Query of the labels as they are to come out, with their numbers.
        written: The Parquet file.
        columns: The label columns.
        number: The column of *given* that has the numbers, from 0, quoted.

    Returns:
        The content of the file: `<rows>:<sum of DuckDB's hash of each row>`.

    Raises:
        TrainingSetRefused: A label is missing, surplus, changed, or in another place.
    """
    names = [quoted(name) for name in columns]
    labels = f"count(*), coalesce(sum(hash({', '.join([number, *names])})), 0)"
    path = literal(str(written))
    scan = f"read_parquet({path}, file_row_number = true, hive_partitioning = false)"
    rows = f"select * rename (file_row_number as {number}) from {scan}"
    every = f"select columns(* exclude ({number})) from ({rows}) limit 0"
    all_names = [quoted(column[0]) for column in connection.execute(every).description or ()]
    before = connection.execute(f"select {labels} from ({given})").fetchall()[0]
    *after, content = connection.execute(
        f"select {labels}, {content_sql(all_names)} from ({rows})"
    ).fetchall()[0]
    if tuple(after) != before:
        raise TrainingSetRefused(
            f"of {before[0]:,} labels {after[0]:,} came out, and not each as it went in"
        )
    return str(content)


def content_sql(names: Iterable[str]) -> str:
    """
    Write the aggregate that tells rows from other rows, whatever their order.

    DuckDB's own hash costs a tenth of an MD5, and may change from one version to the next.

    Args:
        names: Every column, quoted.
    """
    return f"concat(count(*), ':', coalesce(sum(hash({', '.join(names)})), 0))"
