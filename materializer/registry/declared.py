"""
A model becomes a feature group, a training set or a feature view, or is refused.

Responsible for the rules that one model must keep, and those that groups must keep among
themselves. Each refusal names file, model and key. Does not work out what a view means for any
column: dbt does, when it builds the parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from materializer.config import format_time, parse_time
from materializer.registry.lineage import origins
from materializer.registry.meta import (
    FEATURE_GROUP,
    FEATURE_VIEW,
    TRAINING_SET,
    Declaration,
    GroupMeta,
    Node,
    TrainingSetMeta,
    ViewMeta,
    read_column_meta,
    read_meta,
    registry_name,
)
from materializer.registry.model import Column, FeatureGroup, FeatureView, TrainingSet
from materializer.registry.types import element_type, published_type

_KEY_TYPES: tuple[str, ...] = ("string", "int64", "date")
_NAME = re.compile(r"[A-Za-z0-9_]+")
# What a key may hold without an escape, see the codec; a colon separates its parts.
_PREFIX = re.compile(r"[A-Za-z0-9._~-]+(:[A-Za-z0-9._~-]+)*")
_DEFAULT_PREFIX = "features"
# The table in which the labels of the training sets are published.
_LABELS = "labels"


def read_group(node: Node, graph: Mapping[str, Node]) -> FeatureGroup:
    """Read one feature group; *graph* has nodes and sources of the manifest, by dbt's id."""
    declaration = Declaration.of_node(node)
    name = _published_name(declaration, "group")
    if not node["config"].get("contract", {}).get("enforced"):
        raise declaration.error("contract", "a feature group needs contract: {enforced: true}")
    meta = read_meta(GroupMeta, FEATURE_GROUP, node, declaration)
    columns = _columns(node, declaration)
    _check_columns(meta, columns, declaration)
    _check_closing_row(meta, columns, declaration)
    key_prefix = meta.key_prefix or f"{_DEFAULT_PREFIX}:{name}"
    _check_prefix(key_prefix, declaration)
    deprecation = node.get("deprecation_date")
    return FeatureGroup(
        name=name,
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").strip(),
        entity=tuple(meta.entity),
        available_at=meta.available_at,
        event_time=meta.event_time,
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
        deprecation_date=deprecation and format_time(parse_time(deprecation)),
        lineage=origins(node, graph),
        fresh_hours=meta.fresh_hours,
        closing_row=meta.closing_row,
    )


def _version(version: object) -> str | None:
    return None if version is None else str(version)


def _published_name(declaration: Declaration, what: str) -> str:
    """Return the name of a model that is published as a table; refuse one that cannot be."""
    name = declaration.model
    if name.startswith("_"):
        raise declaration.error("name", f"a {what} name cannot begin with an underscore")
    if not _NAME.fullmatch(name):
        raise declaration.error("name", f"a {what} name has only letters, digits and underscores")
    if name == _LABELS:
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
    if meta.may_be_future and (element_type(kind) or kind) not in ("date", "timestamp"):
        problem = f"is for dates and timestamps, and the column is {kind}"
        raise declaration.error(f"{column['name']}.may_be_future", problem)
    return Column(
        name=column["name"],
        type=kind,
        online=meta.online,
        description=(column.get("description") or "").strip(),
        unit=meta.unit,
        window_days=meta.window_days,
        null_means=meta.null_means,
        may_be_future=meta.may_be_future,
    )


def _check_columns(meta: GroupMeta, columns: Sequence[Column], declaration: Declaration) -> None:
    """Check that the columns that the meta names are there, each of a type for its purpose."""
    if not meta.entity:
        raise declaration.error("entity", "name at least one key column")
    types = {column.name: column.type for column in columns}
    named = [("entity", name, _KEY_TYPES) for name in meta.entity]
    named += [("available_at", meta.available_at, ("timestamp",))]
    if meta.event_time is not None:
        named += [("event_time", meta.event_time, ("timestamp", "date"))]
    named += [("partition", meta.partition, ("date",))]
    for key, name, allowed in named:
        if name not in types:
            raise declaration.error(key, f"{name!r} is not a column of the contract")
        if types[name] not in allowed:
            problem = f"{name!r} is {types[name]}, and must be {' or '.join(allowed)}"
            raise declaration.error(key, problem)
        if meta.entity.count(name) > 1:
            raise declaration.error(key, f"{name!r} is named twice")


def _check_closing_row(
    meta: GroupMeta, columns: Sequence[Column], declaration: Declaration
) -> None:
    """Check that readers of both stores can say how long a closing row holds."""
    if meta.closing_row is None:
        return
    # With less a row would not hold until the next, and a closing row would hold in between.
    if meta.fresh_hours is None or meta.fresh_hours < 24:
        raise declaration.error("closing_row", "needs fresh_hours of 24 or more")
    if meta.online and meta.partition not in [c.name for c in columns if c.online]:
        problem = f"needs {meta.partition}, the partition, online"
        raise declaration.error("closing_row", problem)


def _check_prefix(prefix: str, declaration: Declaration) -> None:
    if not _PREFIX.fullmatch(prefix):
        problem = "can have only letters, digits and -._~, in parts that colons divide"
        raise declaration.error("key_prefix", f"{prefix!r} {problem}")
    if any(part.startswith("_") for part in prefix.split(":")):
        raise declaration.error("key_prefix", f"{prefix!r}: a part cannot begin with an underscore")


def read_training_set(node: Node, graph: Mapping[str, Node]) -> TrainingSet:
    """Read one training set; *graph* has nodes and sources of the manifest, by dbt's id."""
    declaration = Declaration.of_node(node)
    key = f"{TRAINING_SET}.labels"
    meta = read_meta(TrainingSetMeta, TRAINING_SET, node, declaration)
    columns = _columns(node, declaration)
    refs = [graph[ref] for ref in node["depends_on"]["nodes"] if ref in graph]
    labels = next((ref for ref in refs if ref["name"] == meta.labels), None)
    if labels is None:
        raise declaration.error(key, f"{meta.labels!r} is not a model this one refs")
    names = tuple(column.name for column in columns if column.name in labels["columns"])
    if not names:
        problem = f"{labels['name']} declares no column that this model has"
        raise declaration.error(key, problem)
    # `point_in_time_join` writes it into the meta of the model that calls it.
    join = node["config"]["meta"].get("point_in_time") or {}
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


def read_view(
    node: Node, graph: Mapping[str, Node], training_sets: Mapping[str, TrainingSet]
) -> FeatureView:
    """Read one feature view; *graph* has nodes and sources of the manifest, by dbt's id."""
    declaration = Declaration.of_node(node)
    key = f"{FEATURE_VIEW}.training_set"
    meta = read_meta(ViewMeta, FEATURE_VIEW, node, declaration)
    models = [ref for ref in node["depends_on"]["nodes"] if ref.startswith("model.")]
    training_set = training_sets.get(meta.training_set)
    if training_set is None or training_set.unique_id not in models:
        raise declaration.error(key, f"{meta.training_set!r} is not a training set this model refs")
    if training_set.time is None:
        raise declaration.error(key, f"{training_set.name} is not built with point_in_time_join")
    others = [ref for ref in models if ref != training_set.unique_id and ref in graph]
    if len(others) != 1:
        raise declaration.error(key, "next to it the view refs one model, that of its parameters")
    parameters = graph[others[0]]
    return FeatureView(
        name=_published_name(declaration, "view"),
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").strip(),
        owner=meta.owner,
        training_set=training_set.name,
        label=meta.label,
        time=training_set.time,
        train_until=meta.train_until,
        declared=node["config"]["meta"][FEATURE_VIEW],
        parameters=registry_name(parameters),
        parameters_id=parameters["unique_id"],
        parameters_relation=parameters["relation_name"],
        keep_versions=meta.keep_versions,
    )


def refuse_collisions(groups: Sequence[tuple[FeatureGroup, Declaration]]) -> None:
    """Refuse a group whose name is taken, or whose online keys could be another's."""
    for index, (group, declaration) in enumerate(groups):
        for other, _ in groups[:index]:
            if other.name == group.name:
                raise declaration.error("name", f"{other.unique_id} has this name too")
            if _may_share_keys(group, other):
                raise declaration.error(
                    "key_prefix",
                    f"{group.key_prefix!r} and {other.key_prefix!r} of {other.name} "
                    "could make the same key; set another",
                )


def _may_share_keys(group: FeatureGroup, other: FeatureGroup) -> bool:
    same = group.key_prefix == other.key_prefix
    return same or _is_below(group, other) or _is_below(other, group)


def _is_below(group: FeatureGroup, other: FeatureGroup) -> bool:
    """Return whether the prefix of a group begins with that of another one, and a colon."""
    # A key under the default prefix alone has one part more than it, and all others under it two.
    is_default = other.key_prefix == _DEFAULT_PREFIX and len(other.entity) == 1
    return not is_default and group.key_prefix.startswith(f"{other.key_prefix}:")
