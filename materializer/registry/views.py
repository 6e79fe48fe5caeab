"""
A model becomes a feature view, or is refused.

Owns the reading of `meta.feature_view` and the rules that a view must keep; its groups and its
transforms have modules of their own. Each refusal names file, model and key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from materializer.registry.groups import published_name
from materializer.registry.joins import Bad, Part, check_rules, read_parts
from materializer.registry.meta import FEATURE_VIEW, VIEW_KEYS, Place, name_of, read_keys
from materializer.registry.model import Column, FeatureGroup, TrainingSet
from materializer.registry.steps import read_steps
from materializer.registry.view import SPLIT, Feature, FeatureView
from materializer.views.transforms import ONE_HOT

Node = Mapping[str, Any]
Graph = Mapping[str, Node]

POINT_IN_TIME = "point_in_time"

_PREFIX = f"{FEATURE_VIEW}."
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_NEEDED = ("training_set", "label", "train_until")


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
    bad = partial(_bad, place)
    meta = _meta(given, place, bad)
    rows, noted, parameters = _inputs(meta, node, graph, training_sets, bad)
    types = _types(rows, noted, bad)
    missing = meta.get("missing", {})
    parts = read_parts(missing, graph[rows.unique_id], noted, groups, types, bad)
    asked_by = {key for part in parts for _, key in part.join.on}
    label = _label(meta, noted, asked_by, bad)
    names = _feature_names(meta, noted, parts, {*asked_by, label, noted["time"]})
    _check_names(names, {*asked_by, label, noted["time"]}, types, rows, bad)
    chains = read_steps(meta.get("transforms", []), {name: types[name] for name in names}, bad)
    features = tuple(_feature(name, types[name], chains[name], parts) for name in names)
    _check_rules(features, parts, missing, bad)
    return FeatureView(
        name=published_name(place, "view"),
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").strip(),
        owner=meta.get("owner"),
        training_set=rows.name,
        label=label,
        label_type=types[label],
        time=noted["time"],
        train_until=_train_until(meta, bad),
        keys=tuple(Column(name, types[name]) for name in noted["columns"] if name in asked_by),
        # One that no feature reads need not be there when a vector is asked for.
        joins=tuple(
            part.join for part in parts if part.join.name in {feature.join for feature in features}
        ),
        features=features,
        parameters=name_of(parameters),
        parameters_id=parameters["unique_id"],
        parameters_relation=parameters["relation_name"],
        keep_versions=meta.get("keep_versions"),
    )


def _bad(place: Place, key: str, problem: str) -> Exception:
    return place.bad(f"{_PREFIX}{key}", problem)


def _meta(given: object, place: Place, bad: Bad) -> Mapping[str, Any]:
    meta = read_keys(FEATURE_VIEW, given, VIEW_KEYS, place, prefix=_PREFIX)
    for key in _NEEDED:
        if key not in meta:
            raise bad(key, "is missing")
    return meta


def _inputs(
    meta: Mapping[str, Any],
    node: Node,
    graph: Graph,
    training_sets: Mapping[str, TrainingSet],
    bad: Bad,
) -> tuple[TrainingSet, Mapping[str, Any], Node]:
    """Find the training set, what the join noted of it, and the model with the parameters."""
    name = meta["training_set"]
    ids = [ref for ref in node["depends_on"]["nodes"] if ref.startswith("model.")]
    refs = [graph[ref] for ref in ids if ref in graph]
    training_set = training_sets.get(name)
    if training_set is None or training_set.unique_id not in [ref["unique_id"] for ref in refs]:
        raise bad("training_set", f"{name!r} is not a training set this model refs")
    noted = graph[training_set.unique_id]["config"]["meta"].get(POINT_IN_TIME)
    if noted is None:
        raise bad("training_set", f"{name} is not built with point_in_time_join")
    others = [ref for ref in refs if ref["unique_id"] != training_set.unique_id]
    if len(others) != 1:
        raise bad("training_set", "beside it the view refs one model, that of its parameters")
    return training_set, noted, others[0]


def _types(rows: TrainingSet, noted: Mapping[str, Any], bad: Bad) -> Mapping[str, str]:
    """Tell the types of the training set's columns; the join's own are all declared."""
    types = {column.name: column.type for column in rows.columns}
    made = [f"{one.get('prefix', '')}{name}" for one in noted["groups"] for name in one["columns"]]
    for name in (*noted["columns"], *made):
        if name not in types:
            raise bad("training_set", f"{rows.name} declares no column {name}, which it has")
    return types


def _label(
    meta: Mapping[str, Any], noted: Mapping[str, Any], keys: Collection[str], bad: Bad
) -> str:
    label = str(meta["label"])
    if label not in noted["columns"]:
        raise bad("label", f"{label!r} is not one of {', '.join(noted['columns'])}")
    if label == noted["time"] or label in keys:
        raise bad("label", f"{label!r} is a key, or the time")
    return label


def _train_until(meta: Mapping[str, Any], bad: Bad) -> str:
    # A dash in a date, and its type, are YAML's; the manifest has its text.
    text = str(meta["train_until"])
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        datetime.fromisoformat(text)
    except ValueError:
        raise bad("train_until", f"{text!r} is no UTC date or time; write 2024-02-15") from None
    return text


def _feature_names(
    meta: Mapping[str, Any],
    noted: Mapping[str, Any],
    parts: Sequence[Part],
    taken: Collection[str],
) -> list[str]:
    """Take those named, else all that say something: not keys, label and times of the join."""
    if "features" in meta:
        return list(meta["features"])
    names = [name for name in noted["columns"] if name not in taken]
    for part in parts:
        times = (part.group.available_at, part.group.partition)
        if not part.is_spine:
            names += [name for name, column in part.columns.items() if column not in times]
    return names


def _check_names(
    names: Sequence[str],
    taken: Collection[str],
    types: Mapping[str, str],
    rows: TrainingSet,
    bad: Bad,
) -> None:
    if not names:
        raise bad("features", "name at least one, or leave it out for all")
    for name in names:
        if name not in types:
            raise bad("features", f"{name!r} is not a column of {rows.name}")
        if names.count(name) > 1:
            raise bad("features", f"{name!r} is named twice")
        # The warehouse does not tell names apart by case.
        if name.lower() in {one.lower() for one in (*taken, SPLIT)}:
            raise bad("features", f"{name!r} is a key, the time, the label or the split")


def _feature(name: str, type_: str, steps: tuple[Any, ...], parts: Sequence[Part]) -> Feature:
    for part in parts:
        if (column := part.column(name)) is not None:
            return Feature(name, type_, part.join.name, column, steps)
    return Feature(name, type_, None, None, steps)


def _check_rules(
    features: Sequence[Feature], parts: Sequence[Part], missing: Collection[str], bad: Bad
) -> None:
    fills = ("impute", ONE_HOT)
    filled = [
        feature.name
        for feature in features
        if any(step.transform in fills for step in feature.steps)
    ]
    check_rules(parts, missing, {one.name: one.join for one in features}, filled, bad)
