"""
What a person wants of a training set, held against what is published.

Owns how the groups' keys find their label columns, which columns come out and what each is called.
Refuses names that two columns would share: adding a group never renames what was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from materializer.errors import UsageError
from materializer.offline.snapshot import GroupSnapshot
from materializer.registry import FeatureGroup
from materializer.training.labels import LabelFile
from materializer.training.point_in_time import Joined


@dataclass(frozen=True, slots=True)
class TrainingSetRequest:
    """
    What a person wants.

    Attributes:
        groups: Names of the groups, in the order in which they come out.
        time: Label column with the time at which something is asked.
        on: `<key>` or `<group>.<key>` -> the label column that has it.
        columns: `<column>` or `<group>.<column>` to take, None for all.
        prefix: Put `<group>__` before the name of each column of a group.
    """

    groups: tuple[str, ...]
    time: str
    on: Mapping[str, str]
    columns: tuple[str, ...] | None
    prefix: bool


def resolve_groups(
    wanted: TrainingSetRequest, snapshots: Sequence[GroupSnapshot], labels: LabelFile
) -> list[Joined]:
    """
    Say how each group is joined.

    Args:
        wanted: What a person wants.
        snapshots: The groups, in that order.
        labels: The label file.

    Raises:
        UsageError: A key or a column that is named is none of the groups', a group has no column
            left, or two columns would have one name.
    """
    groups = [one.group for one in snapshots]
    _require_known("--on", wanted.on, [_qualified(g.name, g.entity) for g in groups])
    offered = {group.name: _offered(group) for group in groups}
    if wanted.columns is not None:
        _require_known("--columns", wanted.columns, [_qualified(*item) for item in offered.items()])
    joined = [
        Joined(
            group=one.group,
            on={key: _label_of(wanted, one.group.name, key) for key in one.group.entity},
            columns=_columns(wanted, one.group.name, offered[one.group.name]),
            built_days=one.built_days,
        )
        for one in snapshots
    ]
    _refuse_shared_names(joined, labels)
    return joined


def _offered(group: FeatureGroup) -> list[str]:
    return [column.name for column in group.columns if column.name not in group.entity]


def _qualified(group: str, names: Sequence[str]) -> list[str]:
    return [*names, *(f"{group}.{name}" for name in names)]


def _require_known(
    option: str, named: Sequence[str] | Mapping[str, str], known: list[list[str]]
) -> None:
    names = [name for some in known for name in some]
    for name in named:
        if name not in names:
            plain = dict.fromkeys(one for one in names if "." not in one)
            what = "key" if option == "--on" else "column, apart from the keys,"
            raise UsageError(
                f"{option}: no {what} of these groups is called {name}; known: {', '.join(plain)}"
            )


def _label_of(wanted: TrainingSetRequest, group: str, key: str) -> str:
    return wanted.on.get(f"{group}.{key}", wanted.on.get(key, key))


def _columns(wanted: TrainingSetRequest, group: str, offered: Sequence[str]) -> dict[str, str]:
    taken = list(offered)
    if wanted.columns is not None:
        bare = (name.removeprefix(f"{group}.") for name in wanted.columns)
        taken = [name for name in dict.fromkeys(bare) if name in offered]
    if not taken:
        raise UsageError(f"--columns names no column of {group}; name one, or leave the group out")
    return {name: f"{group}__{name}" if wanted.prefix else name for name in taken}


def _refuse_shared_names(joined: Sequence[Joined], labels: LabelFile) -> None:
    # DuckDB takes two names that differ in case for one.
    owners = {name.lower(): "the labels" for name in labels.types}
    for group, name in _names(joined):
        owner = owners.setdefault(name.lower(), group)
        if owner != group:
            raise UsageError(
                f"{owner} and {group} both have a column {name}; add --prefix, which calls it "
                f"{group}__{name}, or choose with --columns"
            )


def _names(joined: Sequence[Joined]) -> Iterator[tuple[str, str]]:
    for one in joined:
        for name in one.columns.values():
            yield one.group.name, name
