"""
A model becomes a feature view, or is refused.

Owns the reading of `meta.feature_view`, of what `point_in_time_join` noted of the training set, and
the rules that a view must keep. Each refusal names file, model and key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from materializer.registry.meta import (
    FEATURE_VIEW,
    TRANSFORM,
    VIEW_KEYS,
    Place,
    read_keys,
)
from materializer.registry.values import Column, FeatureGroup, TrainingSet
from materializer.registry.view import ERROR, IMPUTE, NULL, Feature, FeatureView, Join
from materializer.transforms import ONE_HOT, TRANSFORMS, can_read, kind_for, type_after

Node = Mapping[str, Any]
Graph = Mapping[str, Node]

POINT_IN_TIME = "point_in_time"

_PREFIX = f"{FEATURE_VIEW}."
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_RULES = (IMPUTE, NULL, ERROR)


@dataclass(frozen=True, slots=True)
class _Part:
    """A join, its group, and of each column of the training set the group's column."""

    join: Join
    group: FeatureGroup
    columns: Mapping[str, str]


def read_view(
    node: Node,
    given: object,
    graph: Graph,
    groups: Mapping[str, FeatureGroup],
    training_sets: Mapping[str, TrainingSet],
) -> FeatureView:
    """
    Read one feature view.

    Args:
        node: The model.
        given: Its `meta.feature_view`.
        graph: Nodes and sources of the manifest, by dbt's id.
        groups: Feature groups by dbt's id of their model.
        training_sets: Training sets by name.

    Raises:
        BadRegistry: The model cannot be a view.
    """
    place = Place.of(node)
    meta = read_keys(FEATURE_VIEW, given, VIEW_KEYS, place, prefix=_PREFIX)
    rows, noted, parameters = _inputs(meta, node, graph, training_sets, place)
    parts = _parts(meta, graph[rows.unique_id], noted, groups, place)
    joins = tuple(part.join for part in parts)
    types = {column.name: column.type for column in rows.columns}
    asked_by = {key for join in joins for _, key in join.on}
    keys = tuple(Column(name, types[name]) for name in noted["columns"] if name in asked_by)
    label = _label(meta, noted, asked_by, place)
    names = _feature_names(meta, noted, parts, {*asked_by, label, noted["time"]})
    for name in names:
        if name not in types or names.count(name) > 1:
            problem = "is named twice" if name in types else f"is not a column of {rows.name}"
            raise _bad(place, "features", f"{name!r} {problem}")
    features = tuple(_feature(name, types[name], parts) for name in names)
    _check_transforms(meta.get("transforms", []), features, joins, place)
    return FeatureView(
        name=place.model,
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").strip(),
        owner=meta.get("owner"),
        training_set=rows.name,
        label=label,
        label_type=types[label],
        time=noted["time"],
        train_until=_train_until(meta, place),
        keys=keys,
        joins=joins,
        features=features,
        parameters_id=parameters["unique_id"],
        parameters_relation=parameters["relation_name"],
        keep_versions=meta.get("keep_versions"),
    )


def _bad(place: Place, key: str, problem: str) -> Exception:
    return place.bad(f"{_PREFIX}{key}", problem)


def _inputs(
    meta: Mapping[str, Any],
    node: Node,
    graph: Graph,
    training_sets: Mapping[str, TrainingSet],
    place: Place,
) -> tuple[TrainingSet, Mapping[str, Any], Node]:
    """Find the training set, what the join noted of it, and the model with the parameters."""
    name = meta.get("training_set")
    ids = [ref for ref in node["depends_on"]["nodes"] if ref.startswith("model.")]
    refs = [graph[ref] for ref in ids if ref in graph]
    training_set = training_sets.get(str(name))
    if training_set is None or training_set.unique_id not in [ref["unique_id"] for ref in refs]:
        raise _bad(place, "training_set", f"{name!r} is not a training set this model refs")
    noted = graph[training_set.unique_id]["config"]["meta"].get(POINT_IN_TIME)
    if noted is None:
        raise _bad(place, "training_set", f"{name} is not built with point_in_time_join")
    others = [ref for ref in refs if ref["unique_id"] != training_set.unique_id]
    if len(others) != 1:
        raise _bad(
            place, "training_set", "beside it the view refs one model, that of its parameters"
        )
    return training_set, noted, others[0]


def _label(
    meta: Mapping[str, Any], noted: Mapping[str, Any], keys: Collection[str], place: Place
) -> str:
    label = meta.get("label")
    if label not in noted["columns"]:
        raise _bad(place, "label", f"{label!r} is not one of {', '.join(noted['columns'])}")
    if label == noted["time"] or label in keys:
        raise _bad(place, "label", f"{label!r} is a key, or the time")
    return str(label)


def _train_until(meta: Mapping[str, Any], place: Place) -> str:
    # A dash in a date, and its type, are YAML's; the manifest has its text.
    text = str(meta.get("train_until"))
    if not _TIME.fullmatch(text):
        raise _bad(place, "train_until", f"{text!r} is no UTC date or time; write 2024-02-15")
    return text


def _parts(
    meta: Mapping[str, Any],
    rows: Node,
    noted: Mapping[str, Any],
    groups: Mapping[str, FeatureGroup],
    place: Place,
) -> list[_Part]:
    missing = meta.get("missing", {})
    found = []
    spine = _spine(rows, groups)
    if spine is not None and set(spine.entity) <= set(noted["columns"]):
        on = {name: name for name in spine.entity}
        found.append((spine.name, spine, on, {name: name for name in noted["columns"]}))
    for one in noted["groups"]:
        group, prefix = _group(one, rows, groups, place), one.get("prefix", "")
        columns = {f"{prefix}{column}": column for column in one["columns"]}
        found.append((f"{prefix}{group.name}", group, one["on"], columns))
    names = [name for name, *_ in found]
    for name, rule in missing.items():
        if name not in names:
            raise _bad(place, "missing", f"{name!r} is none of {', '.join(names)}")
        if rule not in _RULES:
            raise _bad(place, "missing", f"{rule!r} of {name} is none of {', '.join(_RULES)}")
    return [
        _Part(Join(name, group.name, tuple(on.items()), missing.get(name, NULL)), group, columns)
        for name, group, on, columns in found
    ]


def _spine(rows: Node, groups: Mapping[str, FeatureGroup]) -> FeatureGroup | None:
    labels = rows["config"]["meta"]["training_set"]["labels"]
    refs = rows["depends_on"]["nodes"]
    return next((groups[ref] for ref in refs if ref in groups and groups[ref].name == labels), None)


def _group(
    one: Mapping[str, Any], rows: Node, groups: Mapping[str, FeatureGroup], place: Place
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
    raise _bad(place, "training_set", f"{one['group']}, which it joins, is no feature group")


def _whole(version: str | None) -> int | None:
    return int(version) if version is not None and version.isdigit() else None


def _feature_names(
    meta: Mapping[str, Any],
    noted: Mapping[str, Any],
    parts: Sequence[_Part],
    taken: Collection[str],
) -> list[str]:
    """Take those named, else all that say something: not keys, label and times of the join."""
    if "features" in meta:
        return list(meta["features"])
    names = [name for name in noted["columns"] if name not in taken]
    for part in parts[len(parts) - len(noted["groups"]) :]:
        times = (part.group.available_at, part.group.partition)
        names += [name for name, column in part.columns.items() if column not in times]
    return names


def _feature(name: str, type_: str, parts: Sequence[_Part]) -> Feature:
    for part in parts:
        column = part.columns.get(name)
        if column is not None and part.group.online and column in part.group.features:
            return Feature(name, type_, part.join.name, column)
    return Feature(name, type_, None, None)


def _check_transforms(
    given: Sequence[Mapping[str, Any]],
    features: Sequence[Feature],
    joins: Sequence[Join],
    place: Place,
) -> None:
    at: dict[str, str | None] = {feature.name: feature.type for feature in features}
    fills: set[str] = set()
    for number, step in enumerate(given):
        kind, column = step.get("type"), step.get("column")
        where = f"transforms[{number}]"
        if kind not in TRANSFORMS:
            raise _bad(place, where, f"unknown type {kind!r}; known: {', '.join(TRANSFORMS)}")
        if column not in at:
            raise _bad(
                place, where, f"{kind} of {column!r}: no such feature; there are {', '.join(at)}"
            )
        at[column] = _check_step(step, at[column], f"{kind} of {column}", place, where)
        if kind in ("impute", ONE_HOT):
            fills.add(column)
    for join in joins:
        bare = [f.name for f in features if f.join == join.name and f.name not in fills]
        if join.missing == IMPUTE and bare:
            raise _bad(place, "missing", f"{join.name} is impute, and no transform fills {bare[0]}")


def _check_step(
    step: Mapping[str, Any], given: str | None, what: str, place: Place, where: str
) -> str | None:
    """Check one step, and name the type it leaves; None when nothing can follow."""
    transform = TRANSFORMS[step["type"]]
    options = {name: value for name, value in step.items() if name not in TRANSFORM}
    if given is None:
        raise _bad(place, where, f"{what}: nothing can follow {ONE_HOT}")
    if unknown := next((name for name in options if name not in transform.options), None):
        known = ", ".join(transform.options) or "none"
        raise _bad(place, where, f"{what}: unknown option {unknown!r}; known: {known}")
    kind = kind_for(transform, given)
    if not can_read(given, kind):
        raise _bad(place, where, f"{what}: a {kind} is needed, and the column is {given}")
    if problem := transform.problem(options):
        raise _bad(place, where, f"{what}: {problem}")
    text = isinstance(options.get("value"), str)
    if "value" in options and text != (given == "string"):
        raise _bad(place, where, f"{what}: value {options['value']!r} is not of its type")
    return None if step["type"] == ONE_HOT else type_after(transform, given)
