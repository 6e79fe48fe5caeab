"""
Responsible for `GET /feature-views` and `GET /feature-views/<view>`: what each view makes.

Reads what was published with the data, never the project.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from flask import Blueprint
from pydantic import TypeAdapter

from materializer.config import format_time
from materializer.errors import StoreUnavailable
from materializer.views.definition import ViewVersion
from materializer.views.versions import PublishedVersion
from serve.errors import ApiError, quoted
from serve.openapi.operations import Operation, Schema, described
from serve.openapi.schemas import (
    TEXT,
    TIME,
    component,
    dataclass_schemas,
    list_of,
    object_of,
    path_name,
)
from serve.responses import as_time
from serve.stores.stores import Stores, current_stores

_ENTRY = component("FeatureView")

blueprint = Blueprint("feature_views", __name__)


def _components() -> dict[str, Schema]:
    fields, parts = dataclass_schemas(TypeAdapter(ViewVersion))
    parts["Join"]["properties"]["on"] = {"type": "object", "additionalProperties": TEXT}
    column = object_of({"name": TEXT, "type": TEXT})
    version = object_of(
        {
            "version": TEXT,
            "fitted_at": TIME,
            "training_tag": TEXT,
            "outdated_groups": list_of(TEXT),
        }
    )
    entry = {
        **fields,
        "keys": list_of(column),
        "columns": list_of(column),
        "version": TEXT,
        "versions": list_of(version),
    }
    return {**parts, "FeatureView": object_of(entry)}


@blueprint.get("/feature-views")
@described(
    lambda: Operation(object_of({"feature_views": list_of(_ENTRY)}), components=_components()),
    raises=(StoreUnavailable,),
)
def list_views() -> dict[str, Any]:
    """Answer every published view, by name."""
    stores = current_stores()
    published = groupby(stores.offline.views(), key=lambda version: version.view)
    return {"feature_views": [_entry(stores, list(versions)) for _, versions in published]}


@blueprint.get("/feature-views/<view>")
@described(
    lambda: Operation(_ENTRY, (path_name("view"),), components=_components()),
    raises=("unknown_view", StoreUnavailable),
)
def describe_view(view: str) -> dict[str, Any]:
    """Answer one published view."""
    stores = current_stores()
    published = stores.offline.views()
    versions = [version for version in published if version.view == view]
    if not versions:
        known = ", ".join(sorted({version.view for version in published})) or "nothing"
        raise ApiError(
            "unknown_view", f"no feature view {quoted(view)} was published; published: {known}"
        )
    return _entry(stores, versions)


def _entry(stores: Stores, versions: Sequence[PublishedVersion]) -> dict[str, Any]:
    newest = versions[-1]
    definitions = {name: group.definition for name, group in stores.directory.groups().items()}
    columns = newest.to_version().columns
    return {
        **json.loads(newest.document),
        "columns": [{"name": column.name, "type": column.type} for column in columns],
        "version": newest.version,
        "versions": [
            {
                "version": version.version,
                "fitted_at": format_time(as_time(version.fitted_at)),
                "training_tag": version.training_tag,
                "outdated_groups": version.to_version().outdated_groups(definitions),
            }
            for version in versions
        ],
    }
