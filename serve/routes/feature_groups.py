"""
Responsible for `GET /feature-groups` and `GET /feature-groups/<group>`: what is published.

Writes whatever fields a registry entry has, so that a field the registry learns shows up by itself.
Reads only what was published with the data, and leaves out what only the warehouse can use.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import TypeAdapter

from materializer.errors import StoreUnavailable
from materializer.registry import FeatureGroup
from materializer.registry.values import json_value
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
from serve.stores.stores import Stores, current_stores

# Names of dbt and of the warehouse, which no reader of the stores can use.
PRIVATE = {"unique_id", "relation_name"}

_ENTRY = component("FeatureGroup")
_GROUP = TypeAdapter(FeatureGroup)

blueprint = Blueprint("feature_groups", __name__)


def _components() -> dict[str, Schema]:
    """Describe an entry: the fields of the registry, and those that differ here."""
    known, parts = dataclass_schemas(_GROUP)
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


@blueprint.get("/feature-groups")
@described(
    lambda: Operation(object_of({"feature_groups": list_of(_ENTRY)}), components=_components()),
    raises=(StoreUnavailable,),
)
def list_groups() -> dict[str, Any]:
    """Answer every published group, by name."""
    stores = current_stores()
    groups = stores.directory.groups()
    return {"feature_groups": [_entry(stores, groups[name]) for name in sorted(groups)]}


@blueprint.get("/feature-groups/<group>")
@described(
    lambda: Operation(_ENTRY, (path_name("group"),), components=_components()),
    raises=("unknown_group", StoreUnavailable),
)
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
            "day": json_value(state.day),
            "available_at": json_value(state.available_at),
        },
    }


def describe(group: FeatureGroup) -> dict[str, Any]:
    """Return what the registry knows of a group; key columns with their types, and the features."""
    known = _GROUP.dump_python(group, mode="json", exclude=PRIVATE)
    columns = known.pop("columns")
    return {
        **known,
        "entity": [{"name": column.name, "type": column.type} for column in group.keys],
        "features": list(group.features),
        "columns": columns,
    }
