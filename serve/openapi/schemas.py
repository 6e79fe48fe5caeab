"""
Responsible for the JSON Schemas of what clients send and get, made from the registry's contracts.

Does not know a route, and does not promise more than is kept: a feature may be missing while rows
of an older contract are still there, and fields may come besides those that are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter

from materializer.errors import LookupMiss
from materializer.registry import Column, FeatureGroup
from materializer.registry.types import element_type
from materializer.views.definition import ViewVersion
from serve.errors import codes_of
from serve.openapi.operations import Operation, Schema
from serve.requests.as_of import AS_OF
from serve.requests.batch import KEYS, MOST_ROWS
from serve.requests.body import MOST_BYTES
from serve.requests.query import FEATURES
from serve.requests.vectors import VALUES, VERSION
from serve.responses import Source
from serve.stores.stores import Stores

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
_TYPES: dict[str, Schema] = {
    "string": TEXT,
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamp": TIME,
}
_DECIMAL: Schema = {"type": "string", "format": "decimal", "pattern": r"^-?\d+(\.\d+)?$"}
_COMPONENT = "#/components/schemas/{model}"
# RFC 9651, section 3.3.7.
_SECONDS: Schema = {"type": "string", "pattern": r"^@-?\d+$"}
# A time as it may be sent. More is accepted, such as one without offset, which has no name here.
_AS_OF: Schema = {
    "type": "string",
    "anyOf": [{"format": "date-time"}, {"format": "date"}],
    "description": "Not later than the server's clock. A day is its first instant in UTC.",
}
_AS_OF_OR_NULL: Schema = {"anyOf": [_AS_OF, {"type": "null"}]}


# Parts of a schema


def type_schema(kind: str) -> Schema:
    """Describe a value of a contract's type; nothing is promised of an unknown one."""
    if element := element_type(kind):
        return list_of(or_null(type_schema(element)))
    return dict(_DECIMAL if kind.startswith("decimal(") else _TYPES.get(kind, {}))


def object_of(
    fields: Mapping[str, Schema], *, optional: Iterable[str] = (), closed: bool = False
) -> Schema:
    """Describe an object that has all these fields but the optional ones; *closed*, no others."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": [name for name in fields if name not in optional],
        **({"additionalProperties": False} if closed else {}),
    }


def list_of(items: Schema) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    """Let a value be null too."""
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema


def component(name: str) -> Schema:
    """Refer to a schema by its name."""
    return {"$ref": _COMPONENT.format(model=name)}


def dataclass_schemas(adapter: TypeAdapter[Any]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schemas of a dataclass's fields, and those of the dataclasses in them by name."""
    known = adapter.json_schema(mode="serialization", ref_template=_COMPONENT)
    return known["properties"], known.get("$defs", {})


def path_name(name: str) -> Schema:
    """Describe a part of a path that names something."""
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _any_of(columns: Iterable[Column]) -> Schema:
    """Describe a value of one of these columns, or null."""
    kinds: list[Schema] = []
    for column in columns:
        if (schema := type_schema(column.type)) not in kinds:
            kinds.append(schema)
    return {"anyOf": [*kinds, {"type": "null"}]}


def _sent_key(column: Column) -> Schema:
    """Describe a key in a body: any text; of an integer, a whole number too."""
    kinds = ["string", "integer"] if column.type == "int64" else "string"
    return {"type": kinds, "minLength": 1}


def _sent_value(kind: str) -> Schema:
    """Describe a value that a request brings; a decimal may be a whole number too."""
    if element := element_type(kind):
        return list_of(or_null(_sent_value(element)))
    schema = type_schema(kind)
    return {"anyOf": [schema, {"type": "integer"}]} if kind.startswith("decimal(") else schema


# Lookups and batches of a group


def lookup(group: FeatureGroup, *, source: Source, by_id: bool = False) -> Operation:
    """Describe a lookup of one row, by the id in the path or by key columns in the query."""
    if by_id:
        parameters = [_parameter(group.keys[0], name="id", place="path")]
    else:
        parameters = [_parameter(key, name=key.name, place="query") for key in group.keys]
        if FEATURES not in group.entity:
            parameters.append(_features_parameter(group))
    # A key column may take this name.
    if source == "offline" and AS_OF not in group.entity:
        parameters.append({"name": AS_OF, "in": "query", "required": True, "schema": _AS_OF})
    answer = {
        # As text, as it was sent.
        **dict.fromkeys(group.entity, TEXT),
        "as_of": TIME,
        "features": component(_features_name(group)),
        "source": {"const": source},
        "available_at": TIME,
        "stale": {"type": "boolean"},
    }
    return _group_operation(group, answer, parameters=tuple(parameters))


def batch(group: FeatureGroup, *, source: Source) -> Operation:
    """Describe a batch; every list of its answer is as long as the keys of the request."""
    misses = codes_of(LookupMiss)
    answer: dict[str, Schema] = {
        "group": {"const": group.name},
        "source": {"const": source},
        "as_of": TIME if source == "online" else list_of(TIME),
        "columns": list_of({"enum": list(group.features)}),
        "rows": list_of(list_of(_any_of(_features(group)))),
        "available_at": list_of(or_null(TIME)),
        "stale": list_of({"type": ["boolean", "null"]}),
        "missing": list_of({"enum": [None, *misses]}),
    }
    return _group_operation(group, answer, body=_batch_body(group, timed=source == "offline"))


def _batch_body(group: FeatureGroup, *, timed: bool) -> Schema:
    own_time = {AS_OF: _AS_OF} if timed and AS_OF not in group.entity else {}
    keys = {column.name: _sent_key(column) for column in group.keys}
    key = object_of({**keys, **own_time}, optional=own_time, closed=True)
    fields: dict[str, Schema] = {
        KEYS: _many(key),
        FEATURES: or_null(_selection(group)),
        **({AS_OF: _AS_OF_OR_NULL} if timed else {}),
    }
    body = object_of(fields, optional=(FEATURES, AS_OF), closed=True)
    body["description"] = f"At most {MOST_ROWS} keys and {MOST_BYTES} bytes."
    if timed:
        for_all: Schema = {"required": [AS_OF], "properties": {AS_OF: TEXT}}
        for_each: Schema = {"properties": {KEYS: {"items": {"required": [AS_OF]}}}}
        body["anyOf"] = [for_all, for_each] if own_time else [for_all]
    return body


def _group_operation(
    group: FeatureGroup,
    answer: dict[str, Schema],
    *,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Operation:
    """Describe a route that answers about one group, and its date if it is deprecated."""
    date = group.deprecation_date
    if date is not None:
        answer = {**answer, "deprecation_date": {**TIME, "const": date}}
    # None is required: a row of an older contract may lack it, and a client may not request it.
    features = {column.name: _feature(column) for column in _features(group)}
    return Operation(
        object_of(answer),
        parameters,
        body,
        headers={} if date is None else {"Deprecation": _SECONDS},
        components={_features_name(group): object_of(features, optional=features)},
        deprecated=date is not None,
    )


def _features_name(group: FeatureGroup) -> str:
    return f"{group.name}.features"


def _features(group: FeatureGroup) -> list[Column]:
    columns = {column.name: column for column in group.columns}
    return [columns[name] for name in group.features]


def _feature(column: Column) -> Schema:
    description = {"description": column.description} if column.description else {}
    return {**or_null(type_schema(column.type)), **description}


def _parameter(column: Column, *, name: str, place: Literal["path", "query"]) -> Schema:
    not_empty = {"minLength": 1} if column.type == "string" else {}
    return {
        "name": name,
        "in": place,
        "required": True,
        "description": column.description or column.name,
        "schema": {**type_schema(column.type), **not_empty},
    }


def _features_parameter(group: FeatureGroup) -> Schema:
    return {
        "name": FEATURES,
        "in": "query",
        "description": "The features to answer, in this order; left out: all.",
        "style": "form",
        "explode": False,
        "schema": _selection(group),
    }


def _selection(group: FeatureGroup) -> Schema:
    names = {"enum": list(group.features)}
    return {"type": "array", "items": names, "minItems": 1, "uniqueItems": True}


def _many(items: Schema) -> Schema:
    return {"type": "array", "maxItems": MOST_ROWS, "items": items}


# Vectors of a view


# A request may name an older version: an answer is described by what any published version makes,
# and a body by what the newest takes, which is the last.
Versions: TypeAlias = "list[ViewVersion]"


def published_views(stores: Stores) -> dict[str, Versions]:
    """Return the published versions of each view, by its name."""
    by_view = groupby(stores.offline.views(), key=lambda version: version.view)
    return {view: [version.to_version() for version in versions] for view, versions in by_view}


def vectors(versions: Versions) -> Operation:
    """Describe the vectors of one view, for one key and for many."""
    return Operation(_vectors_answer(versions), body=_vectors_body(versions))


def _vectors_body(versions: Versions) -> Schema:
    newest = versions[-1]
    key = object_of({key.name: _sent_key(key) for key in newest.keys}, closed=True)
    needed = {feature.name for feature in newest.features if feature.join is None}
    fields = {feature.name: or_null(_sent_value(feature.type)) for feature in newest.features}
    values = object_of(fields, optional=fields.keys() - needed, closed=True)
    one = _vectors_of(versions, key, values if needed else or_null(values), needed=bool(needed))
    many = _vectors_of(versions, _many(key), or_null(_many(values)), needed=bool(needed))
    return {
        "oneOf": [one, many],
        "description": f"One object of keys and one of values, or lists of them, equally long, "
        f"for one vector each. At most {MOST_ROWS} keys and {MOST_BYTES} bytes.",
    }


def _vectors_of(versions: Versions, keys: Schema, values: Schema, *, needed: bool) -> Schema:
    version = {"enum": [*(version.id for version in versions), None]}
    fields = {KEYS: keys, VALUES: values, VERSION: version, AS_OF: _AS_OF_OR_NULL}
    optional = (VERSION, AS_OF) if needed else (VALUES, VERSION, AS_OF)
    return object_of(fields, optional=optional, closed=True)


def _vectors_answer(versions: Versions) -> Schema:
    columns = {column.name: column for version in versions for column in version.columns}
    joins = sorted({join.name for version in versions for join in version.joins})
    vector = list_of(_any_of(columns.values()))
    missing: Schema = {"enum": [None, *codes_of(LookupMiss)]}
    facts = {
        "available_at": or_null(TIME),
        "stale": {"type": ["boolean", "null"]},
        "missing": missing,
    }
    fields: dict[str, Schema] = {
        "view": {"const": versions[-1].view},
        "version": {"enum": [version.id for version in versions]},
        "source": {"enum": ["online", "offline"]},
        "as_of": TIME,
        "columns": list_of({"enum": list(columns)}),
        "dtypes": list_of(TEXT),
    }
    lists = {name: list_of(fact) for name, fact in facts.items()}
    one = {
        "vector": vector,
        "groups": object_of(dict.fromkeys(joins, object_of(facts)), optional=joins),
    }
    many = {
        "vectors": list_of(or_null(vector)),
        "missing": list_of(missing),
        "groups": object_of(dict.fromkeys(joins, object_of(lists)), optional=joins),
    }
    return {**object_of(fields), "oneOf": [object_of(one), object_of(many)]}
