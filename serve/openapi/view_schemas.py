"""
The JSON Schemas of what the routes of feature views take and answer.

Owns how a view and its vectors look to a machine. A request may name an older version, so an answer
is described by what any published version makes, and a body by what the newest takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from materializer.errors import LookupMiss
from materializer.registry import ViewVersion
from materializer.views.vector import outputs
from materializer.views.versions import PublishedVersion
from serve.errors import codes_of
from serve.openapi import schemas
from serve.openapi.operations import Operation, Schema
from serve.openapi.schemas import or_null
from serve.requests.batch import KEYS, MOST_BYTES, MOST_ROWS
from serve.requests.query import AS_OF
from serve.requests.vectors import VALUES, VERSION
from serve.stores.stores import Stores

_ENTRY = schemas.component("FeatureView")
_TEXT: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True)
class View:
    """
    One published view.

    Attributes:
        ids: Its versions, the newest last.
        versions: What these make.
    """

    ids: tuple[str, ...]
    versions: tuple[ViewVersion, ...]


def published_views(stores: Stores) -> dict[str, View]:
    """Tell which views are published, by name."""
    return {
        name: View(
            tuple(one.version for one in some),
            tuple(ViewVersion.from_text(one.document) for one in some),
        )
        for name, group in groupby(stores.offline.views(), key=lambda one: one.view)
        for some in [list[PublishedVersion](group)]
    }


# What is published


def every() -> Operation:
    """Describe the list of the views."""
    answer = schemas.of_object({"feature_views": schemas.of_list(_ENTRY)})
    return Operation(answer, components=_components())


def one() -> Operation:
    """Describe one view, by its name in the path."""
    return Operation(_ENTRY, (schemas.path_name("view"),), components=_components())


def _components() -> dict[str, Schema]:
    fields, parts = schemas.of_dataclass(ViewVersion)
    parts["Join"]["properties"]["on"] = {"type": "object", "additionalProperties": _TEXT}
    column = schemas.of_object({"name": _TEXT, "type": _TEXT})
    version = {"version": _TEXT, "fitted_at": schemas.TIME, "training_tag": _TEXT}
    told = {
        **fields,
        "keys": schemas.of_list(column),
        "columns": schemas.of_list(column),
        "version": _TEXT,
        "versions": schemas.of_list(schemas.of_object(version)),
    }
    return {**parts, "FeatureView": schemas.of_object(told)}


# Vectors


def vectors(view: View) -> Operation:
    """Describe the vectors of one view, for one key and for many."""
    return Operation(_answer(view), body=_body(view))


def _body(view: View) -> Schema:
    newest = view.versions[-1]
    key = schemas.closed({key.name: schemas.sent_key(key) for key in newest.keys})
    sent_only = [feature.name for feature in newest.features if feature.join is None]
    values = schemas.closed(
        {feature.name: or_null(schemas.of_sent(feature.type)) for feature in newest.features},
        optional=tuple(one.name for one in newest.features if one.name not in sent_only),
    )
    if not sent_only:
        values = or_null(values)
    shapes = [(key, values), (_many(key), or_null(_many(values)))]
    return {
        "oneOf": [_shape(view, keys, given, needed=bool(sent_only)) for keys, given in shapes],
        "description": f"One object of keys and one of values, or lists of them, equally long, "
        f"for one vector each. At most {MOST_ROWS} keys and {MOST_BYTES} bytes.",
    }


def _many(schema: Schema) -> Schema:
    return {**schemas.of_list(schema), "maxItems": MOST_ROWS}


def _shape(view: View, keys: Schema, values: Schema, *, needed: bool) -> Schema:
    return schemas.closed(
        {
            KEYS: keys,
            VALUES: values,
            VERSION: {"enum": [*view.ids, None]},
            AS_OF: {"anyOf": [schemas.AS_OF_SENT, {"type": "null"}]},
        },
        optional=(VERSION, AS_OF) if needed else (VALUES, VERSION, AS_OF),
    )


def _answer(view: View) -> Schema:
    columns = {column.name: column for one in view.versions for column in outputs(one)}
    joins = {join.name for one in view.versions for join in one.joins}
    vector = schemas.of_list(schemas.any_of([column.type for column in columns.values()]))
    missing: Schema = {"enum": [None, *codes_of(LookupMiss)]}
    fresh = {
        "available_at": or_null(schemas.TIME),
        "stale": {"type": ["boolean", "null"]},
        "missing": missing,
    }
    lists = {name: schemas.of_list(schema) for name, schema in fresh.items()}
    told: dict[str, Schema] = {
        "view": {"const": view.versions[-1].view},
        "version": {"enum": list(view.ids)},
        "source": {"enum": ["online", "offline"]},
        "as_of": schemas.TIME,
        "columns": schemas.of_list({"enum": list(columns)}),
        "dtypes": schemas.of_list(_TEXT),
    }
    of_one = {"vector": vector, "groups": _groups(joins, schemas.of_object(fresh))}
    of_many = {
        "vectors": schemas.of_list(or_null(vector)),
        "missing": schemas.of_list(missing),
        "groups": _groups(joins, schemas.of_object(lists)),
    }
    return {**schemas.of_object(told), "oneOf": [*map(schemas.of_object, (of_one, of_many))]}


def _groups(names: Sequence[str] | set[str], schema: Schema) -> Schema:
    return {"type": "object", "properties": dict.fromkeys(sorted(names), schema)}
