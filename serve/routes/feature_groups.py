"""
Responsible for `GET /feature-groups` and `GET /feature-groups/<group>`: what is published.

Writes whatever fields a registry entry has, so that a field the registry learns shows up by itself.
Reads only what was published with the data, and leaves out what only the warehouse can use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from flask import Blueprint

from materializer.config import format_time
from materializer.errors import StoreUnavailable
from materializer.registry import FeatureGroup
from serve.openapi.operations import Operation, Schema, described
from serve.openapi.schemas import (
    TEXT,
    TIME,
    component,
    dataclass_schemas,
    list_of,
    object_of,
    or_null,
    path_name,
)
from serve.responses import as_time
from serve.stores.stores import Stores, current_stores

# Names of dbt and of the warehouse, which no reader of the stores can use.
PRIVATE = {"unique_id", "relation_name"}

_ENTRY = component("FeatureGroup")

blueprint = Blueprint("feature_groups", __name__)


def _components() -> dict[str, Schema]:
    """Describe an entry: the fields of the registry, and those that differ here."""
    known, parts = dataclass_schemas(FeatureGroup)
    published = {
        "snapshot_id": TEXT,
        "day": or_null({"type": "string", "format": "date"}),
        "available_at": or_null(TIME),
    }
    entry = {
        **{name: schema for name, schema in known.items() if name not in PRIVATE},
        "entity": list_of(object_of({"name": TEXT, "type": TEXT})),
        "features": list_of(TEXT),
        "published": object_of(published),
    }
    return {**parts, "FeatureGroup": object_of(entry)}


def _list_operation() -> Operation:
    answer = object_of({"feature_groups": list_of(_ENTRY)})
    return Operation(answer, components=_components())


def _group_operation() -> Operation:
    return Operation(_ENTRY, (path_name("group"),), components=_components())


@blueprint.get("/feature-groups")
@described(_list_operation, raises=(StoreUnavailable,))
def list_groups() -> dict[str, Any]:
    """Answer every published group, by name."""
    stores = current_stores()
    groups = stores.directory.groups()
    return {"feature_groups": [_entry(stores, groups[name]) for name in sorted(groups)]}


@blueprint.get("/feature-groups/<group>")
@described(_group_operation, raises=("unknown_group", StoreUnavailable))
def describe_group(group: str) -> dict[str, Any]:
    """Answer one published group."""
    stores = current_stores()
    return _entry(stores, stores.directory.named(group))


def _entry(stores: Stores, group: FeatureGroup) -> dict[str, Any]:
    state = stores.offline.state(group.name)
    return {
        **describe(group),
        "published": {
            # Beyond 2**53, where many readers of JSON lose digits.
            "snapshot_id": str(state.snapshot_id),
            "day": to_json(state.day),
            "available_at": to_json(state.available_at),
        },
    }


def describe(group: FeatureGroup) -> dict[str, Any]:
    """Return what the registry knows of a group; key columns with their types, and the features."""
    known = to_json(group)
    return {
        **{name: value for name, value in known.items() if name not in PRIVATE | {"columns"}},
        "entity": [{"name": column.name, "type": column.type} for column in group.keys],
        "features": list(group.features),
        "columns": known["columns"],
    }


def to_json(value: Any) -> Any:
    """Return any value of the registry as JSON can hold it; a dataclass by its fields, in order."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return to_json(value.value)
    if isinstance(value, datetime):
        return format_time(as_time(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): to_json(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value
