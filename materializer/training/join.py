"""
The point-in-time join over published data files.

Responsible for the row that each label sees of each group. Where each file holds the rows of one
moment, as in a daily group, most labels are matched by equality with the newest moment before them,
since nothing newer can exist, and only the rest goes into an ASOF join, which is slower. Does not
choose between two rows of one moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import NamedTuple

import duckdb

from materializer.errors import LabelsUnusable, TrainingSetRefused
from materializer.offline.read import Parquet
from materializer.offline.snapshot import SnapshotFile
from materializer.registry.validity import removed_until
from materializer.sql import literal, quoted
from materializer.training.labels import LabelFile
from materializer.training.request import GroupJoin, unused_name

# A join spills to disk beyond this.
JOIN_MEMORY = "2GB"
# If there are so many times more rows than labels, the rows of other entities are left out first,
# because an ASOF join sorts all its input.
_FEW = 8
# Longer than between any two moments [microseconds].
_FOREVER = 2**62
_SHOWN = 3

# What the join needs of each label: its number `n`, its `label_time`, and each key.
SPINE = "work.spine"
_REST = "work.rest"
_CANDIDATES = "work.candidates"


class LabelTimes(NamedTuple):
    """The earliest and the latest time of the labels [microseconds since 1970]."""

    first: int
    last: int


class PointInTimeJoin:
    """A join in an engine: `read_labels`, then `match` for each group, then `write`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        labels: LabelFile,
        time: str,
        joins: Sequence[GroupJoin],
    ) -> None:
        self._connection = connection
        self._run = connection.execute
        self._run("create schema work; create schema matches")
        self._folder = folder
        self._labels = labels
        self._time = time
        self._joins = joins
        # (Label column, type of the key) -> SQL of the key.
        self._keys = {
            (join.on[key.name], key.type): labels.key_sql(
                join.on[key.name], key.type, f"{join.name}.{key.name}"
            )
            for join in joins
            for key in join.group.keys
        }
        self._key_names = {
            key: unused_name(f"key_{number}", list(labels.types))
            for number, key in enumerate(self._keys, start=1)
        }
        names = [name for join in joins for name in join.columns.values()]
        self.number = unused_name("number", [*labels.types, *names])
        self.labels_relation = unused_name("labels", [join.name for join in joins])

    def read_labels(self) -> LabelTimes:
        """Read the keys and times of the labels; refuse rows that lack one."""
        time = self._labels.time_sql(self._time)
        columns = [f"{self.number} as n", f"{time} as label_time", *self._key_columns()]
        rows = self._labels.numbered_sql(self.number)
        try:
            self._run(f"create table {SPINE} as select {', '.join(columns)} from ({rows})")
        except duckdb.Error as error:
            raise LabelsUnusable(self._labels.path, " ".join(str(error).split())) from error
        [(count,)] = self._run(f"select count(*) from {SPINE}").fetchall()
        self._labels.require_whole(self._connection, count)
        self._refuse_unreadable()
        # Without labels, bounds that no row is within.
        first = f"coalesce(epoch_us(min(label_time)), {_FOREVER})"
        last = f"coalesce(epoch_us(max(label_time)), -{_FOREVER})"
        [times] = self._run(f"select {first}, {last} from {SPINE}").fetchall()
        return LabelTimes(*times)

    def match(self, join: GroupJoin, times: LabelTimes) -> None:
        """Match each label with the row of a group that it sees; refuse two rows of one moment."""
        snapshot, group, matches = join.snapshot, join.group, self.matches(join)
        files = [file for file in snapshot.files if may_matter(file, join, times)]
        parquet = Parquet(
            snapshot.table, group.columns, self._folder / join.name, snapshot.snapshot_id
        )
        rows = parquet.sql([file.path for file in files], by_name=True)
        self._run(f"create view main.{join.relation} as select * from {rows}")
        self._run(f"create table {matches} as {self._match_sql(join, SPINE, 'join', 'false')}")
        rest = SPINE
        moments = sorted({file.first for file in files if file.first is not None})
        if moments and all(file.first == file.last for file in files):
            self._match_newest(join, matches, moments)
            # A label before the first moment sees no row.
            self._run(
                f"create or replace table {_REST} as select * from {SPINE} anti join {matches} "
                f"using (n) where label_time >= make_timestamp({moments[0]})"
            )
            rest = _REST
        self._match_earlier(join, matches, rest, sum(file.rows for file in files))

    def write(self, path: Path) -> None:
        """Write the training set as Parquet, in the order of the labels."""
        columns = [f"spine.{quoted(name)}" for name in self._labels.types]
        joins = []
        for index, join in enumerate(self._joins):
            alias = f"matches_{index}"
            columns += [
                f"{alias}.c{number} as {quoted(name)}"
                for number, name in enumerate(join.columns.values())
            ]
            joins.append(
                f"left join {self.matches(join)} as {alias} "
                f"on spine.{self.number} = {alias}.n and {alias}.holds"
            )
        self._run(
            f"copy (select {', '.join(columns)} from ({self.labels_sql()}) as spine "
            f"{' '.join(joins)} order by spine.{self.number}) "
            f"to {literal(str(path))} (format parquet)"
        )

    def labels_sql(self) -> str:
        """Return the query of the label columns as they come out, and of the row's number."""
        rows = self._labels.numbered_sql(self.number)
        return f"select {', '.join([*self._label_columns(), self.number])} from ({rows})"

    def matches(self, join: GroupJoin) -> str:
        """Name the table of what labels see of a group: `n`, `available_at`, `holds`, `c0`, ..."""
        return f"matches.{join.relation}"

    def plain_sql(self) -> str:
        """
        Return the set as one plain query of `labels_relation` and the groups: the receipt's SQL.

        It leaves out no files, and has no moments and no tables in between. So a reader can check
        it, and `verify-training`, which runs it, checks the fast join too.
        """
        columns = [f"spine.{quoted(name)}" for name in self._labels.types]
        joins = []
        moment = f"spine.{quoted(self._time)}"
        for number, join in enumerate(self._joins, start=1):
            rows = f"group_{number}"
            available = f"{moment} >= {rows}.{quoted(join.group.available_at)}"
            condition = f"{self._same_keys(join, rows)} and {available}"
            joins.append(join.join_sql("asof left join", join.rows_sql(), rows, condition))
            holds = join.holds_sql(moment, rows)
            for column, name in join.columns.items():
                value = f"{rows}.{quoted(column)}"
                value = f"case when {holds} then {value} end" if holds else value
                columns.append(f"{value} as {quoted(name)}")
        spine = ",\n        ".join([*self._label_columns(), *self._key_columns()])
        return "\n".join(
            [
                f"with spine as (\n    select\n        {spine}\n    from {self.labels_relation}\n)",
                "select\n    " + ",\n    ".join(columns),
                "from spine",
                *joins,
            ]
        )

    def _label_columns(self) -> list[str]:
        """List the label columns: as they are in the file, the time as it was read."""
        time = f"{self._labels.time_sql(self._time)} as {quoted(self._time)}"
        return [time if name == self._time else quoted(name) for name in self._labels.types]

    def _key_columns(self) -> list[str]:
        return [f"{sql} as {self._key_names[key]}" for key, sql in self._keys.items()]

    def _same_keys(self, join: GroupJoin, rows: str) -> str:
        return " and ".join(
            f"spine.{self._key_names[join.on[key.name], key.type]} = {rows}.{quoted(key.name)}"
            for key in join.group.keys
        )

    def _refuse_unreadable(self) -> None:
        keys = [f"{name} is null" for name in self._key_names.values()]
        bad = " or ".join(["label_time is null", "not isfinite(label_time)", *keys])
        unreadable = self._run(f"select n from {SPINE} where {bad} order by n").fetchall()
        if not unreadable:
            return
        names = dict.fromkeys([*(column for column, _ in self._keys), self._time])
        columns = ", ".join(f"cast({quoted(name)} as varchar)" for name in names)
        shown = ", ".join(str(n) for (n,) in unreadable[:_SHOWN])
        rows = self._run(
            f"select {self.number}, {columns} from "
            f"({self._labels.numbered_sql(self.number)}) where {self.number} in ({shown})"
        ).fetchall()
        examples = []
        for number, *values in sorted(rows):
            read = ("missing" if value is None else repr(value) for value in values)
            pairs = map(" ".join, zip(names, read, strict=True))
            examples.append(f"row {number + 1} ({', '.join(pairs)})")
        raise LabelsUnusable(
            self._labels.path,
            f"{len(unreadable):,} rows have a key or a time that is missing or cannot be read, "
            f"such as {'; '.join(examples)}; correct or drop them",
        )

    def _match_newest(self, join: GroupJoin, matches: str, moments: Sequence[int]) -> None:
        """
        Match the rows of the newest moment before each label.

        All moments lie on a grid. If the last grid point before a label is a moment, it is the
        newest.
        """
        first = moments[0]
        step = gcd(*(moment - first for moment in moments)) or _FOREVER
        since = f"epoch_us(label_time) - {first}"
        spine = (
            f"(select *, make_timestamp({first} + ({since}) // {step} * {step}) as moment "
            f"from {SPINE} where {since} >= 0)"
        )
        when = f"spine.moment = rows.{quoted(join.group.available_at)}"
        self._run(f"insert into {matches} {self._match_sql(join, spine, 'join', when)}")
        self._refuse_ties(join, f"select n from {matches}")

    def _match_earlier(self, join: GroupJoin, matches: str, rest: str, rows: int) -> None:
        """Match the newest row before each label that has none yet."""
        [(left,)] = self._run(f"select count(*) from {rest}").fetchall()
        if not left or not rows:
            return
        candidates, same_keys = join.rows_sql(), self._same_keys(join, "rows")
        if left * _FEW < rows:
            self._run(
                f"create or replace table {_CANDIDATES} as select * from ({candidates}) as rows "
                f"semi join {rest} as spine on {same_keys}"
            )
            candidates = f"select * from {_CANDIDATES}"
        time = f"rows.{quoted(join.group.available_at)}"
        when = f"spine.label_time >= {time}"
        self._run(
            f"insert into {matches} {self._match_sql(join, rest, 'asof join', when, candidates)}"
        )
        self._refuse_ties(
            join,
            f"select spine.n from {rest} as spine join {matches} as seen on spine.n = seen.n "
            f"join ({candidates}) as rows on {same_keys} and seen.available_at = {time}",
        )

    def _match_sql(
        self, join: GroupJoin, spine: str, kind: str, when: str, rows: str | None = None
    ) -> str:
        """Return the query of a table of `matches`."""
        holds = join.holds_sql("spine.label_time", "rows") or "true"
        columns = [
            "spine.n",
            f"rows.{quoted(join.group.available_at)} as available_at",
            f"coalesce({holds}, false) as holds",
            *(f"rows.{quoted(name)} as c{number}" for number, name in enumerate(join.columns)),
        ]
        condition = f"{self._same_keys(join, 'rows')} and {when}"
        joined = join.join_sql(kind, rows or join.rows_sql(), "rows", condition)
        return f"select {', '.join(columns)} from {spine} as spine {joined}"

    def _refuse_ties(self, join: GroupJoin, numbers: str) -> None:
        keys = ", ".join(
            f"spine.{self._key_names[join.on[key.name], key.type]}" for key in join.group.keys
        )
        row = self._run(
            f"select {keys} from {SPINE} as spine where n in "
            f"(select n from ({numbers}) group by n having count(*) > 1) limit 1"
        ).fetchone()
        if row:
            raise TrainingSetRefused(
                f"{join.group.name} has several rows of {', '.join(map(str, row))} with one "
                f"{join.group.available_at}, and which one holds is unknown; rebuild that day, "
                "and publish"
            )


def may_matter(file: SnapshotFile, join: GroupJoin, times: LabelTimes) -> bool:
    """Return whether a label may see a row of a file, by the file's bounds."""
    if file.first is not None and file.first > times.last:
        return False
    if join.group.event_time is not None:
        # Rows of any age may hide others.
        return True
    if join.group.has_closing_rows:
        # A row that ended hides older ones, of which a closing row may hold longer.
        removed = removed_until(join.group, times.first)
        return removed is None or file.last is None or file.last > removed
    ends = join.snapshot.ends(file)
    return ends is None or ends > times.first
