"""
`GET /feature-groups` and `GET /feature-groups/<group>`: what is published.

Owns how a registry entry is written for machines. It writes whatever fields the entry has, so that
a field the registry learns shows up by itself. Refuses to tell what only the warehouse can use, and
to read anything but what was published with the data.
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
from serve.openapi import schemas
from serve.openapi.operations import Operation, Schema, described
from serve.responses import as_time
from serve.stores.stores import Stores, current_stores

# Names of dbt and of the warehouse, which no reader of the stores can use.
PRIVATE = {"unique_id", "relation_name"}

_ENTRY = schemas.component("FeatureGroup")

blueprint = Blueprint("listing", __name__)


def _components() -> dict[str, Schema]:
    """Describe an entry: the fields of the registry, and what is told otherwise here."""
    known, parts = schemas.of_dataclass(FeatureGroup)
    key = schemas.of_object({"name": {"type": "string"}, "type": {"type": "string"}})
    text = {"type": "string"}
    fields = {
        **{name: schema for name, schema in known.items() if name not in PRIVATE},
        "entity": schemas.of_list(key),
        "features": schemas.of_list(text),
        "published": schemas.of_object(
            {
                "snapshot_id": text,
                "day": {"type": ["string", "null"], "format": "date"},
                "available_at": {**schemas.TIME, "type": ["string", "null"]},
            }
        ),
    }
    return {**parts, "FeatureGroup": schemas.of_object(fields)}


def _every() -> Operation:
    answer = schemas.of_object({"feature_groups": schemas.of_list(_ENTRY)})
    return Operation(answer, components=_components())


def _one() -> Operation:
    return Operation(_ENTRY, (schemas.path_name("group"),), components=_components())


@blueprint.get("/feature-groups")
@described(_every, raises=(StoreUnavailable,))
def every() -> dict[str, Any]:
    """
    Answer every published group, by name.

    Raises:
        ApiError: A code named above.
        StoreUnavailable: The offline store cannot be read.
    """
    stores = current_stores()
    known = stores.directory.groups()
    return {"feature_groups": [_entry(stores, known[name]) for name in sorted(known)]}


@blueprint.get("/feature-groups/<group>")
@described(_one, raises=("unknown_group", StoreUnavailable))
def one(group: str) -> dict[str, Any]:
    """
    Answer one published group.

    Raises:
        ApiError: A code named above.
        StoreUnavailable: The offline store cannot be read.
    """
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
    """Write what the registry knows of a group; key columns with their types, and the features."""
    types = {column.name: column.type for column in group.columns}
    known = to_json(group)
    return {
        **{name: value for name, value in known.items() if name not in PRIVATE | {"columns"}},
        "entity": [{"name": name, "type": types[name]} for name in group.entity],
        "features": list(group.features),
        "columns": known["columns"],
    }


def to_json(value: Any) -> Any:
    """Write any value of the registry as JSON can hold it; a dataclass by its fields, in order."""
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return to_json(value.value)
    if isinstance(value, datetime):
        return format_time(as_time(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): to_json(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(one) for one in value]
    return str(value) if isinstance(value, Decimal) else value
