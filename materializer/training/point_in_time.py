"""
The point-in-time join as SQL, for labels that dbt never saw.

Owns what the macro `point_in_time_join` owns inside dbt, with the very same meaning: of each group
the latest row with `available_at` no later than the label's time, and nulls where that row is not
true any more. A test holds the two together. Refuses to read: relations are names, which whoever
runs the SQL makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from materializer.days import DayRange
from materializer.registry import FeatureGroup
from materializer.sql import quoted
from materializer.training.labels import LabelFile

LABELS = '"labels"'


@dataclass(frozen=True, slots=True)
class Joined:
    """
    One group in a join.

    Attributes:
        group: The group.
        on: Each key column of the group -> the label column that is compared with it.
        columns: Columns of the group that come out -> their names in the training set.
        built_days: Days of the group that were built, as runs.
    """

    group: FeatureGroup
    on: Mapping[str, str]
    columns: Mapping[str, str]
    built_days: tuple[DayRange, ...] = ()

    @property
    def relation(self) -> str:
        """The relation of the group's rows."""
        return quoted(self.group.name)

    @property
    def closing(self) -> str | None:
        """SQL condition of a row that stays true while every day since was built, or None."""
        return self.group.closing_row if self.group.fresh_hours else None

    @property
    def read(self) -> list[str]:
        """The columns that the join reads, the condition of a closing row aside."""
        day = [self.group.partition] if self.closing else []
        return list(dict.fromkeys([*self.on, *self.columns, self.group.available_at, *day]))

    @property
    def is_closing(self) -> str:
        """A name for the condition of a closing row that no column of the group has."""
        return free_name("is_closing", [column.name for column in self.group.columns])

    def rows_sql(self) -> str:
        """Write the query of the rows that the join looks at."""
        columns = [quoted(name) for name in self.read]
        if self.closing:
            columns.append(f"{self.closing} as {self.is_closing}")
        return f"select {', '.join(columns)} from {self.relation}"

    def runs_sql(self) -> str:
        """Write the query of the runs of built days: `first_day`, `last_day`."""
        runs = [f"(date '{run.first}', date '{run.last}')" for run in self.built_days]
        if not runs:
            return "select null::date as first_day, null::date as last_day where false"
        return f"select * from (values {', '.join(runs)}) as runs (first_day, last_day)"

    def holds_sql(self, time: str, rows: str, runs: str) -> str | None:
        """
        Write whether a row that was found is true at a time; None when it always is.

        Args:
            time: SQL of the time.
            rows: Alias of the rows.
            runs: Alias of the run of built days that holds the row's day, if any.
        """
        group = self.group
        start = f"{rows}.{quoted(group.available_at)}"
        conditions = []
        if group.fresh_hours:
            fresh = f"{time} < {start} + {group.fresh_hours} * interval 1 hour"
            if self.closing:
                days = f"{runs}.last_day - {rows}.{quoted(group.partition)}"
                until = f"{start} + 24 * (1 + cast({days} as integer)) * interval 1 hour"
                fresh = f"({fresh} or ({rows}.{self.is_closing} and {time} < {until}))"
            conditions.append(fresh)
        if expiry := group.expiry_sql(start):
            conditions.append(f"{time} < {expiry}")
        return " and ".join(conditions) or None


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """Make a name that none of the taken ones is; case does not count."""
    names = {name.lower() for name in taken}
    while wanted.lower() in names:
        wanted += "_"
    return quoted(wanted)


def label_columns_sql(labels: LabelFile, time: str) -> list[str]:
    """List the label columns as they come out: as they are in the file, the time as it was read."""
    read = f"{labels.time_sql(time)} as {quoted(time)}"
    return [read if name == time else quoted(name) for name in labels.types]


def key_columns_sql(labels: LabelFile, joined: Sequence[Joined]) -> dict[tuple[str, str], str]:
    """
    Write every key that the groups are joined by.

    Returns:
        Label column and contract type -> SQL of the key, each once.

    Raises:
        LabelsUnusable: A column is missing, or its type is no such key.
    """
    keys = {}
    for one in joined:
        for key in one.group.keys:
            column = one.on[key.name]
            sql = labels.key_sql(column, key.type, f"{one.group.name}.{key.name}")
            keys[column, key.type] = sql
    return keys


def point_in_time_sql(labels: LabelFile, time: str, joined: Sequence[Joined]) -> str:
    """
    Write the whole join as one query, which says what a training set is.

    It reads the relation `labels`, the rows of the file, and of each group the relation of its
    name. Its rows are in any order.

    Args:
        labels: The label file.
        time: Its column with the time at which something is asked.
        joined: The groups.
    """
    keys = {
        key: (free_name(f"key_{number}", list(labels.types)), sql)
        for number, (key, sql) in enumerate(key_columns_sql(labels, joined).items(), start=1)
    }
    moment = f"spine.{quoted(time)}"
    given = [*label_columns_sql(labels, time), *(f"{sql} as {name}" for name, sql in keys.values())]
    tables = [f"spine as (\n    select\n        {_lines(given, 8)}\n    from {LABELS}\n)"]
    joins: list[str] = []
    features: list[str] = []
    for number, one in enumerate(joined, start=1):
        rows, runs = f"group_{number}", f"group_{number}_built"
        tables.append(f"{rows} as (\n    {one.rows_sql()}\n)")
        if one.closing:
            tables.append(f"{runs} as (\n    {one.runs_sql()}\n)")
        joins += _joins(one, rows, runs, moment, {key: name for key, (name, _) in keys.items()})
        features += _features(one, rows, one.holds_sql(moment, rows, runs))
    labelled = [f"spine.{quoted(name)}" for name in labels.types]
    query = f"select\n    {_lines([*labelled, *features], 4)}\nfrom spine"
    return "\n".join(["with\n", ",\n\n".join(tables), "", query, *joins])


def _joins(
    one: Joined, rows: str, runs: str, moment: str, keys: Mapping[tuple[str, str], str]
) -> Iterator[str]:
    conditions = [
        f"spine.{keys[one.on[key.name], key.type]} = {rows}.{quoted(key.name)}"
        for key in one.group.keys
    ]
    conditions.append(f"{moment} >= {rows}.{quoted(one.group.available_at)}")
    yield f"asof left join {rows}\n    on {' and '.join(conditions)}"
    if one.closing:
        day = f"{rows}.{quoted(one.group.partition)}"
        yield f"left join {runs}\n    on {day} between {runs}.first_day and {runs}.last_day"


def _features(one: Joined, rows: str, holds: str | None) -> Iterator[str]:
    for column, name in one.columns.items():
        value = f"{rows}.{quoted(column)}"
        true = f"case when {holds} then {value} end" if holds else value
        yield f"{true} as {quoted(name)}"


def _lines(parts: Sequence[str], indent: int) -> str:
    return f",\n{' ' * indent}".join(parts)
