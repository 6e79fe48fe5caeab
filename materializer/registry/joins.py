"""
The groups of a feature view, from what `point_in_time_join` noted of its training set.

Owns which group a column of the training set comes from, by which keys it is found, and what a
missing row means. Refuses a group that a lookup would find otherwise than the join did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from materializer.registry.model import FeatureGroup
from materializer.registry.view import ERROR, IMPUTE, NULL, Join

Node = Mapping[str, Any]
# From a key of the view's meta and a problem to the error of both.
Bad = Callable[[str, str], Exception]

_RULES = (NULL, IMPUTE, ERROR)


@dataclass(frozen=True, slots=True)
class Part:
    """
    A group in a training set.

    Attributes:
        join: How the view has it.
        group: The group.
        columns: Of each column of the training set that is the group's, its name there.
        is_spine: The rows of the training set are the group's own.
    """

    join: Join
    group: FeatureGroup
    columns: Mapping[str, str]
    is_spine: bool

    def column(self, name: str) -> str | None:
        """Tell the online feature that a column of the training set is, None when it is none."""
        column = self.columns.get(name)
        known = self.group.online and column in self.group.features
        return column if known else None


def read_parts(
    missing: Mapping[str, Any],
    rows: Node,
    noted: Mapping[str, Any],
    groups: Mapping[str, FeatureGroup],
    types: Mapping[str, str],
    bad: Bad,
) -> list[Part]:
    """
    Find the groups of a training set, its own first, when its rows are those of one.

    Args:
        missing: The view's rule by the name of a join.
        rows: The training set's model.
        noted: What `point_in_time_join` noted of it.
        groups: Feature groups by dbt's id of their model.
        types: Of the training set's columns.
        bad: Makes the error of a key.

    Raises:
        BadRegistry: A group is none, is not found by its whole key, or a rule is of no group.
    """
    found = []
    spine = _spine(rows, groups)
    if spine is not None and set(spine.entity) <= set(noted["columns"]):
        own = {name: name for name in noted["columns"]}
        found.append((spine.name, spine, {name: name for name in spine.entity}, own))
    for one in noted["groups"]:
        group, prefix = _group(one, rows, groups, bad), one.get("prefix", "")
        columns = {f"{prefix}{column}": column for column in one["columns"]}
        found.append((f"{prefix}{group.name}", group, one["on"], columns))
    rules = _rules(missing, [name for name, *_ in found], bad)
    for _, group, on, _ in found:
        _check_key(group, on, types, bad)
    return [
        Part(Join(name, group.name, tuple(on.items()), rules[name]), group, columns, group is spine)
        for name, group, on, columns in found
    ]


def check_rules(
    parts: Sequence[Part],
    missing: Collection[str],
    features: Mapping[str, str | None],
    filled: Collection[str],
    bad: Bad,
) -> None:
    """
    Refuse a rule that cannot hold.

    Args:
        parts: The groups.
        missing: The joins that were given a rule.
        features: Name of the join of each feature.
        filled: Features in whose place there is always a value.
        bad: Makes the error of a key.

    Raises:
        BadRegistry: A group without an online feature has a rule, or one under `impute` a feature
            that could be null.
    """
    for part in parts:
        name = part.join.name
        own = [feature for feature, join in features.items() if join == name]
        if name in missing and not own:
            raise bad("missing", f"{name} has a rule, and no feature that comes online from it")
        bare = [feature for feature in own if feature not in filled]
        if part.join.missing == IMPUTE and bare:
            raise bad("missing", f"{name} is impute, and no transform fills {bare[0]}")


def _rules(missing: Mapping[str, Any], names: Sequence[str], bad: Bad) -> dict[str, str]:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise bad("training_set", f"it joins {name} twice; give one a prefix")
    for name, rule in missing.items():
        if name not in names:
            raise bad("missing", f"{name!r} is none of {', '.join(names)}")
        # An unquoted null is YAML's own.
        if rule is not None and rule not in _RULES:
            raise bad("missing", f"{rule!r} of {name} is none of {', '.join(_RULES)}")
    return {name: missing.get(name) or NULL for name in names}


def _check_key(
    group: FeatureGroup, on: Mapping[str, str], types: Mapping[str, str], bad: Bad
) -> None:
    if set(on) != set(group.entity):
        raise bad(
            "training_set",
            f"it joins {group.name} on {', '.join(on) or 'nothing'}, and a row of it is found by "
            f"{', '.join(group.entity)}",
        )
    for column in group.keys:
        name = on[column.name]
        if types[name] != column.type:
            raise bad(
                "training_set",
                f"{name} is {types[name]}, and {column.name} of {group.name}, which it is joined "
                f"with, {column.type}",
            )


def _spine(rows: Node, groups: Mapping[str, FeatureGroup]) -> FeatureGroup | None:
    labels = rows["config"]["meta"]["training_set"]["labels"]
    refs = rows["depends_on"]["nodes"]
    return next((groups[ref] for ref in refs if ref in groups and groups[ref].name == labels), None)


def _group(
    one: Mapping[str, Any], rows: Node, groups: Mapping[str, FeatureGroup], bad: Bad
) -> FeatureGroup:
    wanted = one["group"], one.get("version")
    for ref in rows["depends_on"]["nodes"]:
        if ref not in groups:
            continue
        # model.<project>.<name>, and of a versioned one .v<version>. dbt has settled which version
        # a ref without one means.
        model, version = ref.split(".")[2], groups[ref].version
        if wanted in ((model, None), (model, version)) or wanted == (model, _whole(version)):
            return groups[ref]
    raise bad("training_set", f"{one['group']}, which it joins, is no feature group")


def _whole(version: str | None) -> int | None:
    return int(version) if version is not None and version.isdigit() else None
