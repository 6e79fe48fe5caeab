"""
A model becomes a feature group or a training set, or is refused.

Responsible for the rules that one model must keep, and those that groups must keep among
themselves. Each refusal names file, model and key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from materializer.config import format_time, parse_time
from materializer.registry.lineage import origins
from materializer.registry.meta import (
    FEATURE_GROUP,
    TRAINING_SET,
    Declaration,
    GroupMeta,
    TrainingSetMeta,
    read_column_meta,
    read_meta,
    registry_name,
)
from materializer.registry.model import Column, FeatureGroup, TrainingSet
from materializer.registry.types import published_type

Node = Mapping[str, Any]

# What `point_in_time_join` writes into the meta of the model that calls it.
POINT_IN_TIME = "point_in_time"

_KEY_TYPES = ("string", "int64", "date")
_NAME = re.compile(r"[A-Za-z0-9_]+")
# What a key may hold without an escape, see the codec; a colon separates its parts.
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
    declaration = Declaration.of_node(node)
    name = published_name(declaration, "group")
    if not node["config"].get("contract", {}).get("enforced"):
        raise declaration.error("contract", "a feature group needs contract: {enforced: true}")
    meta = read_meta(GroupMeta, given, declaration, FEATURE_GROUP)
    columns = _columns(node, declaration)
    types = {column.name: column.type for column in columns}
    _check_entity(meta.entity, types, declaration)
    _check_type("available_at", meta.available_at, "timestamp", types, declaration)
    _check_type("partition", meta.partition, "date", types, declaration)
    key_prefix = meta.key_prefix or f"{_DEFAULT_PREFIX}:{name}"
    _check_prefix(key_prefix, declaration)
    return FeatureGroup(
        name=name,
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").strip(),
        entity=tuple(meta.entity),
        available_at=meta.available_at,
        availability_lag_hours=meta.availability_lag_hours,
        partition=meta.partition,
        online=meta.online,
        key_prefix=key_prefix,
        ttl_days=meta.ttl_days,
        max_age_hours=meta.max_age_hours,
        owner=meta.owner,
        columns=columns,
        tags=tuple(node.get("tags") or ()),
        version=_version(node.get("version")),
        latest_version=_version(node.get("latest_version")),
        deprecation_date=_time(node.get("deprecation_date")),
        lineage=origins(node, graph),
        fresh_hours=meta.fresh_hours,
        closing_row=meta.closing_row,
    )


def published_name(declaration: Declaration, what: str) -> str:
    """
    Return the name of a model that is published as a table.

    Args:
        declaration: Where it is declared.
        what: What the model is, in a word.

    Raises:
        BadRegistry: No table and no online key can have it.
    """
    name = declaration.model
    if name.startswith("_"):
        raise declaration.error("name", f"a {what} name cannot begin with an underscore")
    if not _NAME.fullmatch(name):
        raise declaration.error("name", f"a {what} name has only letters, digits and underscores")
    if name in _TAKEN:
        raise declaration.error("name", f"{name!r} is the published table of the labels")
    return name


def _columns(node: Node, declaration: Declaration) -> tuple[Column, ...]:
    return tuple(_column(column, declaration) for column in node["columns"].values())


def _column(column: Node, declaration: Declaration) -> Column:
    declared = (column.get("data_type") or "").lower()
    kind = published_type(declared)
    if kind is None:
        raise declaration.error(column["name"], f"type {declared!r} has no published form")
    meta = read_column_meta(column, declaration)
    return Column(
        name=column["name"],
        type=kind,
        online=meta.online,
        description=(column.get("description") or "").strip(),
        unit=meta.unit,
        window_days=meta.window_days,
        null_means=meta.null_means,
    )


def _check_entity(names: Sequence[str], types: Mapping[str, str], declaration: Declaration) -> None:
    if not names:
        raise declaration.error("entity", "name at least one key column")
    for name in names:
        if name not in types:
            raise declaration.error("entity", f"{name!r} is not a column of the contract")
        if types[name] not in _KEY_TYPES:
            raise declaration.error(
                "entity", f"{name!r} is {types[name]}; a key is {', '.join(_KEY_TYPES)}"
            )
        if names.count(name) > 1:
            raise declaration.error("entity", f"{name!r} is named twice")


def _check_type(
    key: str, column: str, needed: str, types: Mapping[str, str], declaration: Declaration
) -> None:
    if column not in types:
        raise declaration.error(key, f"{column!r} is not a column of the contract")
    if types[column] != needed:
        raise declaration.error(key, f"{column!r} is {types[column]}, and must be {needed}")


def _check_prefix(prefix: str, declaration: Declaration) -> None:
    if not _PREFIX.fullmatch(prefix):
        raise declaration.error(
            "key_prefix",
            f"{prefix!r} can have only letters, digits and -._~, in parts that colons divide",
        )
    if any(part.startswith("_") for part in prefix.split(":")):
        raise declaration.error("key_prefix", f"{prefix!r}: a part cannot begin with an underscore")


def _version(version: object) -> str | None:
    return None if version is None else str(version)


def _time(text: str | None) -> str | None:
    return None if text is None else format_time(parse_time(text))


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
    declaration = Declaration.of_node(node)
    prefix = f"{TRAINING_SET}."
    meta = read_meta(TrainingSetMeta, given, declaration, TRAINING_SET, prefix)
    columns = _columns(node, declaration)
    refs = [graph[ref] for ref in node["depends_on"]["nodes"] if ref in graph]
    labels = next((ref for ref in refs if ref["name"] == meta.labels), None)
    if labels is None:
        problem = f"{meta.labels!r} is not a model this one refs"
        raise declaration.error(f"{prefix}labels", problem)
    names = tuple(column.name for column in columns if column.name in labels["columns"])
    if not names:
        problem = f"{labels['name']} declares no column that this model has"
        raise declaration.error(f"{prefix}labels", problem)
    join = node["config"]["meta"].get(POINT_IN_TIME) or {}
    return TrainingSet(
        name=declaration.model,
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        columns=columns,
        labels=names,
        labels_relation=labels["relation_name"],
        groups=tuple(
            registry_name(ref)
            for ref in refs
            if FEATURE_GROUP in ((ref.get("config") or {}).get("meta") or {})
        ),
        time=join.get("time"),
    )


def refuse_collisions(groups: Sequence[tuple[FeatureGroup, Declaration]]) -> None:
    """
    Refuse groups of which one's online keys could be another's.

    Args:
        groups: In the order in which problems are reported.

    Raises:
        BadRegistry: A name is taken, or a prefix is another's, or begins with another's and a
            colon.
    """
    names: dict[str, FeatureGroup] = {}
    prefixes: dict[str, FeatureGroup] = {}
    below: dict[str, FeatureGroup] = {}
    for group, declaration in groups:
        if other := names.get(group.name):
            raise declaration.error("name", f"{other.unique_id} has this name too")
        if other := _same_keys(group, prefixes, below):
            raise declaration.error(
                "key_prefix",
                f"{group.key_prefix!r} and {other.key_prefix!r} of {other.name} "
                "could make the same key; set another",
            )
        names[group.name] = prefixes[group.key_prefix] = group
        below.update(dict.fromkeys(_above(group.key_prefix), group))


def _same_keys(
    group: FeatureGroup,
    prefixes: Mapping[str, FeatureGroup],
    below: Mapping[str, FeatureGroup],
) -> FeatureGroup | None:
    """Return a group with this prefix, with a part of it from the front, or with more parts."""
    for prefix in (group.key_prefix, *_above(group.key_prefix)):
        other = prefixes.get(prefix)
        if other and (prefix == group.key_prefix or not _may_precede_others(other)):
            return other
    return None if _may_precede_others(group) else below.get(group.key_prefix)


def _above(prefix: str) -> list[str]:
    parts = prefix.split(":")
    return [":".join(parts[:count]) for count in range(1, len(parts))]


def _may_precede_others(group: FeatureGroup) -> bool:
    """Return whether its keys have one part more than its prefix, and all others under it two."""
    return group.key_prefix == _DEFAULT_PREFIX and len(group.entity) == 1
