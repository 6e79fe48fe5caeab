"""
The point-in-time join over published data files, as fast as they can be read.

Owns a DuckDB of its own and the order of the work: what the labels ask, what each group answers,
the rows in the order of the labels. It comes to the rows of `point_in_time_sql` at less cost. Where
each file holds the rows of one moment, as those of a daily group do, a label whose entity has a row
at the newest moment before it sees that row, for nothing newer can be: an equality finds most rows,
and the rest alone goes into an ASOF join. Refuses two rows between which it would have to choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import duckdb

from materializer.errors import LabelsUnusable, TrainingSetRefused
from materializer.offline.read import Parquet
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.sql import literal, open_engine, quoted
from materializer.training.labels import LabelFile
from materializer.training.point_in_time import (
    Joined,
    free_name,
    key_columns_sql,
    label_columns_sql,
)

# It spills to disk beyond this.
_MEMORY = "2GB"
_HOUR_US = 3600 * 1_000_000
# With so many times fewer labels than rows, the rows of other entities are left out first, for an
# ASOF join sorts all that it is given.
_FEW = 8
# Longer than from any moment to any other [microseconds].
_FOREVER = 2**62
_SHOWN = 3

ASKED = "work.asked"
_REST = "work.rest"
_CANDIDATES = "work.candidates"


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What the labels ask.

    Attributes:
        rows: Number of labels.
        first: Earliest time [microseconds since 1970], None without labels.
        last: Latest time, likewise.
    """

    rows: int
    first: int | None
    last: int | None


class Joining:
    """One join, in a `join_engine`: `ask` once, `find` for each group in order, then `write`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        labels: LabelFile,
        time: str,
        joined: Sequence[Joined],
    ) -> None:
        keys = key_columns_sql(labels, joined)
        self._connection = connection
        self._folder = folder
        self._labels = labels
        self._time = time
        self._joined = joined
        self._keys = {key: f"key_{number}" for number, key in enumerate(keys, start=1)}
        self._key_sql = list(keys.values())
        names = [name for one in joined for name in one.columns.values()]
        self._number = free_name("number", [*labels.types, *names])

    def ask(self) -> Asked:
        """
        Read the keys and times of the labels.

        Raises:
            LabelsUnusable: The file cannot be read, or a row lacks a key or a time.
        """
        keys = [
            f"{sql} as {name}" for sql, name in zip(self._key_sql, self._keys.values(), strict=True)
        ]
        columns = [f"{self._number} as n", f"{self._labels.time_sql(self._time)} as asked_at"]
        rows = self._labels.numbered_sql(self._number)
        query = f"select {', '.join([*columns, *keys])} from ({rows})"
        try:
            self._connection.execute(f"create table {ASKED} as {query}")
        except duckdb.Error as error:
            raise LabelsUnusable(self._labels.path, " ".join(str(error).split())) from error
        self._refuse_unreadable()
        [found] = self._rows(
            f"select count(*), epoch_us(min(asked_at)), epoch_us(max(asked_at)) from {ASKED}"
        )
        return Asked(*found)

    def _refuse_unreadable(self) -> None:
        bad = " or ".join(
            ["asked_at is null", "not isfinite(asked_at)"]
            + [f"{name} is null" for name in self._keys.values()]
        )
        numbers = [n for (n,) in self._rows(f"select n from {ASKED} where {bad} order by n")]
        if not numbers:
            return
        wanted = dict.fromkeys([*(column for column, _ in self._keys), self._time])
        columns = ", ".join(f"cast({quoted(name)} as varchar)" for name in wanted)
        shown = ", ".join(map(str, numbers[:_SHOWN]))
        rows = self._rows(
            f"select {self._number}, {columns} from "
            f"({self._labels.numbered_sql(self._number)}) where {self._number} in ({shown})"
        )
        told = [_told(number, dict(zip(wanted, values, strict=True))) for number, *values in rows]
        raise LabelsUnusable(
            self._labels.path,
            f"{len(numbers):,} rows have a key or a time that is missing or cannot be read, "
            f"such as {'; '.join(sorted(told))}; correct or drop them",
        )

    def find(self, place: int, snapshot: GroupSnapshot, asked: Asked) -> None:
        """
        Find the row of a group that each label sees.

        Args:
            place: Of the group among the joined ones, from 0.
            snapshot: The group at its snapshot.
            asked: What `ask` told.

        Raises:
            ContractMismatch: The published table lacks a column of the group.
            TrainingSetRefused: Of a row that was found there is a second one.
            OfflineStoreUnavailable: A file cannot be read.
        """
        one, found = self._joined[place], self.found(place)
        files = [file for file in snapshot.files if may_matter(file, one, asked)]
        parquet = Parquet(
            snapshot.group.name,
            snapshot.table,
            snapshot.schema,
            snapshot.group.columns,
            self._folder / str(place),
        )
        rows = parquet.sql_by_name([file.path for file in files])
        self._run(f"create view main.{one.relation} as select * from {rows}")
        self._run(f"create table {found} as {self._found(one, f'{ASKED} as asked', 'false')}")
        rest = ASKED
        moments = sorted({file.first for file in files if file.first is not None})
        if moments and all(file.first == file.last for file in files):
            self._find_at(one, found, moments)
            # Before the first moment there is nothing to see.
            self._run(
                f"create or replace table {_REST} as select * from {ASKED} anti join {found} "
                f"using (n) where asked_at >= make_timestamp({moments[0]})"
            )
            rest = _REST
        self._find_before(one, found, rest, sum(file.rows for file in files))

    def _find_at(self, one: Joined, found: str, moments: Sequence[int]) -> None:
        """
        Find the rows of the newest moment before each label.

        All moments lie on a grid. When the last point of it before a label is a moment, no other
        one can be between the two.
        """
        first = moments[0]
        step = gcd(*(moment - first for moment in moments)) or _FOREVER
        since = f"epoch_us(asked_at) - {first}"
        asked = (
            f"(select *, make_timestamp({first} + ({since}) // {step} * {step}) as moment "
            f"from {ASKED} where {since} >= 0) as asked"
        )
        time = f"rows.{quoted(one.group.available_at)}"
        self._run(f"insert into {found} {self._found(one, asked, f'asked.moment = {time}')}")
        self._refuse_ties(one, f"select n from {found}")

    def _find_before(self, one: Joined, found: str, rest: str, rows: int) -> None:
        """Find the rows of those labels that have none yet."""
        [(left,)] = self._rows(f"select count(*) from {rest}")
        if not left or not rows:
            return
        candidates = one.rows_sql()
        if left * _FEW < rows:
            keys = self._same_keys(one, "asked")
            self._run(
                f"create or replace table {_CANDIDATES} as select * from ({candidates}) as rows "
                f"semi join {rest} as asked on {keys}"
            )
            candidates = f"select * from {_CANDIDATES}"
        time = f"rows.{quoted(one.group.available_at)}"
        query = self._found(
            one, f"{rest} as asked", f"asked.asked_at >= {time}", candidates, kind="asof join"
        )
        self._run(f"insert into {found} {query}")
        self._refuse_ties(
            one,
            f"select asked.n from {rest} as asked join {found} as seen on asked.n = seen.n join "
            f"({candidates}) as rows on {self._same_keys(one, 'asked')} "
            f"and seen.available_at = {time}",
        )

    def _found(
        self, one: Joined, asked: str, when: str, rows: str | None = None, kind: str = "join"
    ) -> str:
        """Write the query of the rows that labels see: number, time, whether it holds, columns."""
        holds = one.holds_sql("asked.asked_at", "rows", "runs") or "true"
        columns = [
            "asked.n",
            f"rows.{quoted(one.group.available_at)} as available_at",
            f"coalesce({holds}, false) as holds",
            *(f"rows.{quoted(c)} as c{number}" for number, c in enumerate(one.columns)),
        ]
        runs = ""
        if one.closing:
            day = f"rows.{quoted(one.group.partition)}"
            runs = f"left join ({one.runs_sql()}) as runs on {day} between first_day and last_day"
        return (
            f"select {', '.join(columns)} from {asked} {kind} ({rows or one.rows_sql()}) as rows "
            f"on {self._same_keys(one, 'asked')} and {when} {runs}"
        )

    def _same_keys(self, one: Joined, asked: str) -> str:
        return " and ".join(
            f"{asked}.{self._keys[one.on[key.name], key.type]} = rows.{quoted(key.name)}"
            for key in one.group.keys
        )

    def _refuse_ties(self, one: Joined, numbers: str) -> None:
        rows = self._rows(
            f"select asked.* exclude (n, asked_at) from {ASKED} as asked where n in "
            f"(select n from ({numbers}) group by n having count(*) > 1) limit 1"
        )
        if rows:
            keys = dict(zip(self._keys, rows[0], strict=True))
            key = ", ".join(str(keys[one.on[k.name], k.type]) for k in one.group.keys)
            raise TrainingSetRefused(
                f"{one.group.name} has several rows of {key} with one {one.group.available_at}, "
                "and nobody can say which one holds; rebuild that day, and publish"
            )

    def write(self, path: Path) -> None:
        """Write the training set as Parquet, in the order of the labels."""
        labels = [f"spine.{quoted(name)}" for name in self._labels.types]
        features = [
            f"found_{place}.c{number} as {quoted(name)}"
            for place, one in enumerate(self._joined)
            for number, name in enumerate(one.columns.values())
        ]
        joins = [
            f"left join {self.found(place)} as found_{place} "
            f"on spine.{self._number} = found_{place}.n and found_{place}.holds"
            for place in range(len(self._joined))
        ]
        self._run(
            f"copy (select {', '.join([*labels, *features])} from ({self.spine_sql()}) as spine "
            f"{' '.join(joins)} order by spine.{self._number}) "
            f"to {literal(str(path))} (format parquet)"
        )

    def spine_sql(self) -> str:
        """Write the query of the label columns as they come out, with the number of the row."""
        columns = [*label_columns_sql(self._labels, self._time), self._number]
        rows = self._labels.numbered_sql(self._number)
        return f"select {', '.join(columns)} from ({rows})"

    def found(self, place: int) -> str:
        """Name the table of what a group answers: `n`, `available_at`, `holds`, `c0`, ..."""
        return f"work.found_{place}"

    @property
    def number(self) -> str:
        """The column of `spine_sql` with the number of the row, quoted."""
        return self._number

    def _run(self, sql: str) -> None:
        self._connection.execute(sql)

    def _rows(self, sql: str) -> list[Any]:
        return self._connection.execute(sql).fetchall()


def may_matter(file: SnapshotFile, one: Joined, asked: Asked) -> bool:
    """Tell whether a label may see a row of a file, by the file's bounds."""
    if asked.first is None or asked.last is None:
        return False
    if file.first is not None and file.first > asked.last:
        return False
    if file.last is None:
        return True
    group = one.group
    expired = group.expired_until(asked.first)
    if expired is not None and file.last <= expired:
        return False
    # An older row than one that is over is over too; a closing row has no such end.
    fresh_hours = None if one.closing else group.fresh_hours
    return not fresh_hours or file.last + fresh_hours * _HOUR_US > asked.first


def _told(number: int, values: dict[str, str | None]) -> str:
    shown = ", ".join(f"{k} {'missing' if v is None else repr(v)}" for k, v in values.items())
    return f"row {number + 1} ({shown})"


@contextmanager
def join_engine() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Open an engine with a schema `work` for what a join puts aside."""
    with open_engine(_MEMORY) as (connection, folder):
        connection.execute("create schema work")
        yield connection, folder
