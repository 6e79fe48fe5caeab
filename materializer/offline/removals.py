"""
Removals: what a publish would take away.

Responsible for the guard against a truncated input, which looks just like users who left: it stops
a publish that would empty a day, or take more than the tolerated share of its entities. Exact: ids
are compared, not counts, so that a hundred lost behind a hundred new ones are seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import duckdb
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from materializer.errors import RemovalsRefused
from materializer.offline.catalog import full_name, translate_errors
from materializer.offline.read import count_rows, files_by_day, read_files
from materializer.registry import FeatureGroup
from materializer.sql import quoted_list

# A publish that takes more than one entity in twenty from a day stops.
TOLERATED_LOSS = 0.05
# So many losses are named; a truncated input has one for every day.
_NAMED_LOSSES = 5

DayFiles = Mapping[date, Sequence[DataFile]]


def check_removals(
    connection: duckdb.DuckDBPyConnection,
    group: FeatureGroup,
    table: Table,
    published: DayFiles,
    new: DayFiles,
) -> None:
    """
    Check that files would not take too much away.

    Args:
        connection: From `sql.open_engine`.
        group: Names the key columns.
        table: Where both kinds of files are.
        published: Files of the current snapshot.
        new: Files that would replace those of the same day; none for a day that would go.

    Raises:
        RemovalsRefused: A day, or more than 5 % of a day's entities, would go.
        OfflineStoreUnavailable: A file cannot be read.
    """
    losses = []
    for day in sorted(set(published) & set(new)):
        with translate_errors(full_name(table)):
            lost = _count_lost(connection, group, table, published[day], new[day])
        losses += _loss(day, count_rows(published[day]), lost, emptied=not new[day])
    if losses:
        raise RemovalsRefused(group=group.name, losses=_shortened(losses))


def least_losses(published: Mapping[date, int], new: Mapping[date, int]) -> list[str]:
    """
    Return what the guard would object to, from counts alone.

    A lower bound: as many new entities may hide that others are gone.

    Args:
        published: Rows of the days that are published.
        new: Rows of the days that would go out, 0 for one that would go.

    Returns:
        What would go at least, a few words a day; empty when counts show nothing.
    """
    losses = []
    for day in sorted(set(published) & set(new)):
        lost = published[day] - new[day]
        losses += _loss(day, published[day], lost, emptied=not new[day])
    return _shortened(losses)


def published_rows(table: Table) -> dict[date, int]:
    """
    Count the rows of each published day, without reading any data.

    Raises:
        OfflineStoreUnavailable: The store cannot be read.
    """
    with translate_errors(full_name(table)):
        return {day: count_rows(files) for day, files in files_by_day(table).items()}


def _loss(day: date, had: int, lost: int, *, emptied: bool) -> list[str]:
    if emptied:
        return [f"the whole of {day} ({had} rows)"]
    return [f"{lost} of {had} rows of {day}"] if lost > TOLERATED_LOSS * had else []


def _shortened(losses: list[str]) -> list[str]:
    more = len(losses) - _NAMED_LOSSES
    return losses[:_NAMED_LOSSES] + ([f"and so on for {more} more days"] if more > 0 else [])


def _count_lost(
    connection: duckdb.DuckDBPyConnection,
    group: FeatureGroup,
    table: Table,
    old: Sequence[DataFile],
    new: Sequence[DataFile],
) -> int:
    if not new:
        return count_rows(old)
    connection.register("old", read_files(table, old, group.entity))
    connection.register("new", read_files(table, new, group.entity))
    keys = quoted_list(group.entity)
    query = f"select count(*) from old anti join new using ({keys})"
    # All of it is fetched: a result left unfinished blocks the connection.
    return int(connection.execute(query).fetchall()[0][0])
