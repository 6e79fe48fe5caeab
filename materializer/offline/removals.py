"""
Removals: what a publish would remove.

Responsible for the guard against a truncated input, which looks just like users who left: it stops
a publish that would empty a day, or remove more than the tolerated share of its entities. It
compares ids, not counts, because new entities would hide that others are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import duckdb
from pyiceberg.table import Table

from materializer.errors import RemovalsRefused
from materializer.offline.catalog import full_name, translate_errors
from materializer.offline.files import damage
from materializer.offline.read import DayFiles, count_rows, files_by_day, read_files
from materializer.registry import FeatureGroup
from materializer.sql import quoted_list

# The share of a day's entities that a publish may remove.
TOLERATED_LOSS = 0.05
# So many losses are named; a truncated input has one for every day.
_NAMED_LOSSES = 5


def check_removals(
    connection: duckdb.DuckDBPyConnection,
    group: FeatureGroup,
    table: Table,
    published: DayFiles,
    new: DayFiles,
) -> None:
    """
    Raise `RemovalsRefused` when a day, or more than 5 % of a day's entities, would be removed.

    *new* has the files that would replace those of a day, none to remove it.
    """
    keys = quoted_list(group.entity)

    def count_lost(day: date) -> int:
        if any(damage(table.io, file.file_path) for file in published[day]):
            # To replace a damaged day repairs it; its ids are gone, and only its counts are left.
            return count_rows(published[day]) - count_rows(new[day])
        connection.register("old", read_files(table, published[day], group.entity))
        connection.register("new", read_files(table, new[day], group.entity))
        query = f"select count(*) from old anti join new using ({keys})"
        # All of it is fetched: a result left unfinished blocks the connection.
        [(lost,)] = connection.execute(query).fetchall()
        return int(lost)

    with translate_errors(full_name(table)):
        losses = _losses(_rows(published), _rows(new), count_lost)
    if losses:
        raise RemovalsRefused(group=group.name, losses=losses)


def least_losses(published: Mapping[date, int], new: Mapping[date, int]) -> list[str]:
    """
    Return at least what a publish would remove, by the rows of each day before and after.

    A lower bound: new entities may hide that others are gone.
    """
    return _losses(published, new, lambda day: published[day] - new[day])


def published_rows(table: Table) -> dict[date, int]:
    """Count the rows of each published day, without reading any data."""
    with translate_errors(full_name(table)):
        return _rows(files_by_day(table))


def _rows(days: DayFiles) -> dict[date, int]:
    return {day: count_rows(files) for day, files in days.items()}


def _losses(
    published: Mapping[date, int], new: Mapping[date, int], count_lost: Callable[[date], int]
) -> list[str]:
    losses = []
    for day in sorted(set(published) & set(new)):
        had = published[day]
        if not new[day]:
            losses.append(f"the whole of {day} ({had} rows)")
        elif (lost := count_lost(day)) > TOLERATED_LOSS * had:
            losses.append(f"{lost} of {had} rows of {day}")
    more = len(losses) - _NAMED_LOSSES
    return losses[:_NAMED_LOSSES] + ([f"and so on for {more} more days"] if more > 0 else [])
