"""
A model becomes a feature group or a training set, or is refused.

Owns the rules that one model must keep, and those that groups must keep among themselves. Each
refusal names file, model and key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from materializer.config import format_time, parse_time
from materializer.registry.lineage import origins
from materializer.registry.meta import (
    FEATURE_GROUP,
    GROUP_KEYS,
    TRAINING_KEYS,
    TRAINING_SET,
    Place,
    name_of,
    read_column_keys,
    read_keys,
)
from materializer.registry.model import Column, FeatureGroup, TrainingSet
from materializer.registry.types import published_type

Node = Mapping[str, Any]
Bad = Callable[[str, str], Exception]

_KEY_TYPES = ("string", "int64", "date")
_NAME = re.compile(r"[A-Za-z0-9_]+")
# What a key may hold without an escape, see the codec; a colon parts it.
_PREFIX = re.compile(r"[A-Za-z0-9._~-]+(:[A-Za-z0-9._~-]+)*")
_DEFAULT_PREFIX = "features"
# The table in which the labels of the training sets are published.
_TAKEN = ("labels",)


def read_group(node: Node, given: object, graph: Mapping[str, Node]) -> FeatureGroup:
    """
    Read one feature group.

    Args:
        node: The model.
        given: Its `meta.feature_group`.
        graph: Nodes and sources of the manifest, by dbt's id.

    Raises:
        BadRegistry: The model cannot be a group.
    """
    place = Place.of(node)
    name = published_name(place, "group")
    if not node["config"].get("contract", {}).get("enforced"):
        raise place.bad("contract", "a feature group needs contract: {enforced: true}")
    meta = read_keys(FEATURE_GROUP, given, GROUP_KEYS, place)
    columns = tuple(_column(column, place) for column in node["columns"].values())
    types = {column.name: column.type for column in columns}
    return FeatureGroup(
        name=name,
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").strip(),
        entity=_entity(meta.get("entity", []), types, place),
        available_at=_of_type("timestamp", "available_at", meta, types, place),
        availability_lag_hours=meta.get("availability_lag_hours", 0),
        partition=_of_type("date", "partition", {"partition": "day", **meta}, types, place),
        online=meta.get("online", False),
        key_prefix=_prefix(meta.get("key_prefix", f"{_DEFAULT_PREFIX}:{name}"), place),
        ttl_days=meta.get("ttl_days"),
        max_age_hours=meta.get("max_age_hours"),
        owner=meta.get("owner"),
        columns=columns,
        tags=tuple(node.get("tags") or ()),
        version=_version(node.get("version")),
        latest_version=_version(node.get("latest_version")),
        deprecation_date=_moment(node.get("deprecation_date")),
        lineage=origins(node, graph),
        fresh_hours=meta.get("fresh_hours"),
        closing_row=meta.get("closing_row"),
    )


def published_name(place: Place, what: str) -> str:
    """
    Give the name of a model that is published as a table.

    Args:
        place: Where it is declared.
        what: What the model is, in a word.

    Raises:
        BadRegistry: No table and no online key can have it.
    """
    if place.model.startswith("_"):
        raise place.bad("name", f"a {what} name cannot begin with an underscore")
    if not _NAME.fullmatch(place.model):
        raise place.bad("name", f"a {what} name has letters, digits and underscores alone")
    if place.model in _TAKEN:
        raise place.bad("name", f"{place.model!r} is the published table of the labels")
    return place.model


def _entity(names: Sequence[str], types: Mapping[str, str], place: Place) -> tuple[str, ...]:
    if not names:
        raise place.bad("entity", "name at least one key column")
    for name in names:
        if name not in types:
            raise place.bad("entity", f"{name!r} is not a column of the contract")
        if types[name] not in _KEY_TYPES:
            raise place.bad(
                "entity", f"{name!r} is {types[name]}; a key is {', '.join(_KEY_TYPES)}"
            )
        if names.count(name) > 1:
            raise place.bad("entity", f"{name!r} is named twice")
    return tuple(names)


def _of_type(
    kind: str, key: str, meta: Mapping[str, Any], types: Mapping[str, str], place: Place
) -> str:
    name = str(meta.get(key, key))
    if name not in types:
        raise place.bad(key, f"{name!r} is not a column of the contract")
    if types[name] != kind:
        raise place.bad(key, f"{name!r} is {types[name]}, and must be {kind}")
    return name


def _prefix(prefix: str, place: Place) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise place.bad(
            "key_prefix",
            f"{prefix!r} can have letters, digits and -._~ alone, in parts that colons divide",
        )
    if any(part.startswith("_") for part in prefix.split(":")):
        raise place.bad("key_prefix", f"{prefix!r}: a part cannot begin with an underscore")
    return prefix


def _version(version: object) -> str | None:
    return None if version is None else str(version)


def _moment(text: str | None) -> str | None:
    return None if text is None else format_time(parse_time(text))


def _column(column: Node, place: Place) -> Column:
    declared = (column.get("data_type") or "").lower()
    kind = published_type(declared)
    if kind is None:
        raise place.bad(column["name"], f"type {declared!r} has no published form")
    meta = read_column_keys(column, place)
    return Column(
        name=column["name"],
        type=kind,
        online=meta.get("online", True),
        description=(column.get("description") or "").strip(),
        unit=meta.get("unit"),
        window_days=meta.get("window_days"),
        null_means=meta.get("null_means"),
    )


def read_training_set(node: Node, given: object, graph: Mapping[str, Node]) -> TrainingSet:
    """
    Read one training set.

    Args:
        node: The model.
        given: Its `meta.training_set`.
        graph: Nodes and sources of the manifest, by dbt's id.

    Raises:
        BadRegistry: The model cannot be a training set.
    """
    place = Place.of(node)
    key = f"{TRAINING_SET}.labels"
    meta = read_keys(TRAINING_SET, given, TRAINING_KEYS, place, prefix=f"{TRAINING_SET}.")
    columns = tuple(_column(column, place) for column in node["columns"].values())
    refs = [graph[ref] for ref in node["depends_on"]["nodes"] if ref in graph]
    labels = next((ref for ref in refs if ref["name"] == meta.get("labels")), None)
    if labels is None:
        raise place.bad(key, f"{meta.get('labels')!r} is not a model this one refs")
    names = tuple(column.name for column in columns if column.name in labels["columns"])
    if not names:
        raise place.bad(key, f"{labels['name']} declares no column that this model has")
    return TrainingSet(
        name=place.model,
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        columns=columns,
        labels=names,
        labels_relation=labels["relation_name"],
        groups=tuple(
            name_of(ref)
            for ref in refs
            if FEATURE_GROUP in ((ref.get("config") or {}).get("meta") or {})
        ),
    )


def refuse_collisions(groups: Sequence[tuple[FeatureGroup, Place]]) -> None:
    """
    Refuse groups of which one's online keys could be another's.

    Args:
        groups: In the order in which they are told.

    Raises:
        BadRegistry: A name is taken, or a prefix is another's, or begins with another's and a
            colon.
    """
    names: dict[str, FeatureGroup] = {}
    prefixes: dict[str, FeatureGroup] = {}
    below: dict[str, FeatureGroup] = {}
    for group, place in groups:
        if one := names.get(group.name):
            raise place.bad("name", f"{one.unique_id} has this name too")
        if one := _same_keys(group, prefixes, below):
            raise place.bad(
                "key_prefix",
                f"{group.key_prefix!r} and {one.key_prefix!r} of {one.name} "
                "could make the same key; set another",
            )
        names[group.name] = prefixes[group.key_prefix] = group
        below.update(dict.fromkeys(_above(group.key_prefix), group))


def _same_keys(
    group: FeatureGroup,
    prefixes: Mapping[str, FeatureGroup],
    below: Mapping[str, FeatureGroup],
) -> FeatureGroup | None:
    """Find a group with this prefix, with a part of it from the front, or with more parts."""
    for prefix in (group.key_prefix, *_above(group.key_prefix)):
        one = prefixes.get(prefix)
        if one and (prefix == group.key_prefix or not _may_stand_before(one)):
            return one
    return None if _may_stand_before(group) else below.get(group.key_prefix)


def _above(prefix: str) -> list[str]:
    parts = prefix.split(":")
    return [":".join(parts[:count]) for count in range(1, len(parts))]


def _may_stand_before(group: FeatureGroup) -> bool:
    """Tell whether its keys have one part more than its prefix, and all others under it two."""
    return group.key_prefix == _DEFAULT_PREFIX and len(group.entity) == 1
