"""
The request of a training set on demand, resolved against what is published.

Responsible for which label column each key of a group is compared with, which columns come out
under which names, and for the SQL of what a label sees of a group. Does not allow two columns to
share a name: each of them gets that of its join in front.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from materializer.errors import UsageError
from materializer.offline.snapshot import GroupSnapshot
from materializer.registry import FeatureGroup
from materializer.registry.validity import built_since_sql, candidates_sql, holds_sql
from materializer.sql import quoted
from materializer.training.labels import LabelFile


@dataclass(frozen=True, slots=True)
class TrainingSetRequest:
    """
    The options of `materializer training-set`.

    Attributes:
        groups: `<group>` or `<name>=<group>`, in the order in which they come out.
        time: Label column with the time as of which a label sees the groups.
        on: `<key>` or `<name>.<key>` -> the label column that has it.
        columns: `<column>` or `<name>.<column>` to take, None for all.
        prefix: Put `<name>__` before each column; without it, before those that share a name.
        delimiter: Between the fields of a CSV file of labels, None for what its ending says.
        quote: Around a field that has a delimiter in it, empty for none, None for the usual one.
    """

    groups: tuple[str, ...]
    time: str
    on: Mapping[str, str]
    columns: tuple[str, ...] | None
    prefix: bool
    delimiter: str | None = None
    quote: str | None = None

    @property
    def joins(self) -> dict[str, str]:
        """The name of each join -> its group; a group that is joined once needs no other name."""
        parts = [given.rpartition("=") for given in self.groups]
        joins = {name or group: group for name, _, group in parts}
        if len(joins) < len(parts) or "" in joins.values():
            raise UsageError(
                f"--groups: {','.join(self.groups)} has two joins of one name, or an empty one; "
                "write sender=profile,receiver=profile"
            )
        return joins


@dataclass(frozen=True, slots=True)
class GroupJoin:
    """
    How one group is joined. What a label sees has the same meaning as in `point_in_time_join`.

    Attributes:
        name: Under which the group is joined.
        on: Each key column of the group -> the label column that is compared with it.
        columns: Columns of the group that come out -> their names in the training set.
    """

    snapshot: GroupSnapshot
    name: str
    on: Mapping[str, str]
    columns: Mapping[str, str]

    @property
    def group(self) -> FeatureGroup:
        """The group as it was published."""
        return self.snapshot.group

    @property
    def relation(self) -> str:
        """The relation of the group's rows."""
        return quoted(self.name)

    def rows_sql(self) -> str:
        """Return the query of the rows that the join looks at."""
        has_closing_rows = self.group.has_closing_rows
        day = [self.group.partition] if has_closing_rows else []
        names = dict.fromkeys([*self.on, *self.columns, self.group.available_at, *day])
        columns = [quoted(name) for name in names]
        if has_closing_rows:
            columns.append(f"{self.group.closing_row} as {self._is_closing}")
        rows = candidates_sql(self.group, self.relation)
        return f"select {', '.join(columns)} from {rows}"

    def join_sql(self, kind: str, rows_sql: str, rows: str, condition: str) -> str:
        """
        Return the join of the rows, and of the run of built days that holds a row's day, if any.

        *kind* is such as `asof left join`, *rows_sql* the method's query or a part of its rows, and
        *rows* their alias.
        """
        join = f"{kind} ({rows_sql}) as {rows}\n    on {condition}"
        if not self.group.has_closing_rows:
            return join
        day, runs = f"{rows}.{quoted(self.group.partition)}", f"{rows}_built"
        days = f"{day} between {runs}.first_day and {runs}.last_day"
        return f"{join}\nleft join ({self._runs_sql()}) as {runs}\n    on {days}"

    def holds_sql(self, time: str, rows: str) -> str | None:
        """Return whether a row of `join_sql` holds at a time; None when it always does."""
        available_at, day = quoted(self.group.available_at), quoted(self.group.partition)
        built_since = built_since_sql(
            f"{rows}.{self._is_closing}", f"{rows}.{day}", f"{rows}_built.last_day"
        )
        return holds_sql(self.group, time, f"{rows}.{available_at}", built_since)

    @property
    def _is_closing(self) -> str:
        return unused_name("is_closing", [column.name for column in self.group.columns])

    def _runs_sql(self) -> str:
        runs = [f"(date '{run.first}', date '{run.last}')" for run in self.snapshot.built_days]
        if not runs:
            return "select null::date as first_day, null::date as last_day where false"
        return f"select * from (values {', '.join(runs)}) as runs (first_day, last_day)"


def resolve_groups(
    request: TrainingSetRequest, snapshots: Sequence[GroupSnapshot], labels: LabelFile
) -> list[GroupJoin]:
    """Return how each group is joined, in the order of *snapshots*."""
    groups = {name: snapshot.group for name, snapshot in zip(request.joins, snapshots, strict=True)}
    keys = {name: list(group.entity) for name, group in groups.items()}
    offered = {
        name: [c.name for c in group.columns if c.name not in group.entity]
        for name, group in groups.items()
    }
    _require_known("--on", "key", request.on, keys)
    _require_known("--columns", "column, apart from the keys,", request.columns or (), offered)
    joins = [
        GroupJoin(
            snapshot=snapshot,
            name=name,
            on=_label_columns(request, name, snapshot.group),
            columns=_columns(request, name, offered[name]),
        )
        for name, snapshot in zip(groups, snapshots, strict=True)
    ]
    joins = _told_apart(joins, labels)
    _refuse_shared_names(joins, labels)
    return joins


def unused_name(name: str, taken: Sequence[str]) -> str:
    """Return a quoted name that is none of the taken ones, whatever their case."""
    names = {other.lower() for other in taken}
    while name.lower() in names:
        name += "_"
    return quoted(name)


def _require_known(
    option: str, what: str, names: Iterable[str], known: Mapping[str, Sequence[str]]
) -> None:
    plain = dict.fromkeys(name for group in known.values() for name in group)
    qualified = {f"{group}.{name}" for group, names in known.items() for name in names}
    for name in names:
        if name not in plain and name not in qualified:
            raise UsageError(
                f"{option}: no {what} of these groups is called {name}; known: {', '.join(plain)}"
            )


def _label_columns(request: TrainingSetRequest, name: str, group: FeatureGroup) -> dict[str, str]:
    on = request.on
    return {key: on.get(f"{name}.{key}", on.get(key, key)) for key in group.entity}


def _columns(request: TrainingSetRequest, group: str, offered: Sequence[str]) -> dict[str, str]:
    taken = list(offered)
    if request.columns is not None:
        bare = (name.removeprefix(f"{group}.") for name in request.columns)
        taken = [name for name in dict.fromkeys(bare) if name in offered]
    if not taken:
        raise UsageError(f"--columns names no column of {group}; name one, or leave the group out")
    return {name: f"{group}__{name}" if request.prefix else name for name in taken}


def _told_apart(joins: Sequence[GroupJoin], labels: LabelFile) -> list[GroupJoin]:
    """Return the joins with their names before the columns that labels or other joins have too."""
    # DuckDB takes two names that differ in case for one.
    taken = Counter(name.lower() for name in labels.types)
    taken.update(name.lower() for join in joins for name in join.columns.values())
    return [
        replace(
            join,
            columns={
                column: name if taken[name.lower()] == 1 else f"{join.name}__{column}"
                for column, name in join.columns.items()
            },
        )
        for join in joins
    ]


def _refuse_shared_names(joins: Sequence[GroupJoin], labels: LabelFile) -> None:
    owners = {name.lower(): "the labels" for name in labels.types}
    for join in joins:
        for name in join.columns.values():
            owner = owners.setdefault(name.lower(), join.name)
            if owner != join.name:
                raise UsageError(
                    f"{owner} and {join.name} both have a column {name}; choose with --columns, or "
                    "give the join another name: --groups NAME=GROUP"
                )
