"""
The JSON Schemas of what clients send and get, made from what the registry says of a group.

Owns how a contract's type, a lookup's answer, and a batch's body and answer look to a machine.
Refuses to know a route, and to promise more than is kept: a feature may be missing while rows of an
older contract are still there, and fields may come beside those that are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import TypeAdapter

from materializer.registry import Column, FeatureGroup
from materializer.registry.types import element_type
from serve.errors import CODES
from serve.openapi.operations import Operation, Schema
from serve.requests.batch import KEYS, MOST_BYTES, MOST_ROWS
from serve.requests.query import AS_OF, FEATURES

Source = Literal["online", "offline"]

TIME: Schema = {"type": "string", "format": "date-time"}
_TYPES: dict[str, Schema] = {
    "string": {"type": "string"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "timestamp": TIME,
}
_DECIMAL = {"type": "string", "format": "decimal", "pattern": r"^-?\d+(\.\d+)?$"}
_COMPONENT = "#/components/schemas/{model}"
# RFC 9651, section 3.3.7.
_SECONDS: Schema = {"type": "string", "pattern": r"^@-?\d+$"}
# A time as it may be sent. More is taken, such as one without offset, which has no name here.
AS_OF_SENT: Schema = {
    "type": "string",
    "anyOf": [{"format": "date-time"}, {"format": "date"}],
    "description": "Not later than the server's clock. A day is its first instant in UTC.",
}


def of_type(kind: str) -> Schema:
    """Describe a value of a contract's type; of one that is not known yet, nothing is said."""
    if element := element_type(kind):
        return of_list(or_null(of_type(element)))
    return dict(_DECIMAL if kind.startswith("decimal(") else _TYPES.get(kind, {}))


def of_object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Describe an object that has all these fields but the optional ones, and perhaps others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def closed(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Describe an object that has these fields and no others."""
    return {**of_object(properties, optional=optional), "additionalProperties": False}


def of_list(items: Schema) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    """Let a value be null too."""
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema


def any_of(kinds: Sequence[str]) -> Schema:
    """Describe a value of one of these types of a contract, or null."""
    known: list[Schema] = []
    for kind in kinds:
        if (schema := of_type(kind)) not in known:
            known.append(schema)
    return {"anyOf": [*known, {"type": "null"}]}


def component(name: str) -> Schema:
    """Refer to a schema by its name."""
    return {"$ref": _COMPONENT.format(model=name)}


def of_dataclass(kind: type[Any]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """
    Describe a dataclass as JSON has it.

    Returns:
        The schemas of its fields, and those of the dataclasses in them by their names.
    """
    known = TypeAdapter(kind).json_schema(mode="serialization", ref_template=_COMPONENT)
    return known["properties"], known.get("$defs", {})


def path_name(name: str) -> Schema:
    """Describe a part of a path that names something."""
    return {"name": name, "in": "path", "schema": {"type": "string", "minLength": 1}}


def sent_key(column: Column) -> Schema:
    """Describe a key in a body: any text; of an integer, a whole number too."""
    text = {"type": "string", "minLength": 1}
    return {**text, "type": ["string", "integer"]} if column.type == "int64" else text


def of_sent(kind: str) -> Schema:
    """Describe a value that a request brings; a decimal may be a whole number too."""
    if element := element_type(kind):
        return of_list(or_null(of_sent(element)))
    known = of_type(kind)
    return {"anyOf": [known, {"type": "integer"}]} if kind.startswith("decimal(") else known


def of_group(
    group: FeatureGroup,
    answer: dict[str, Schema],
    *,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
) -> Operation:
    """Describe a route that answers about one group, also what it says of a retired one."""
    retired = group.deprecation_date
    if retired is not None:
        answer = {**answer, "deprecation_date": {**TIME, "const": retired}}
    return Operation(
        of_object(answer),
        parameters,
        body,
        headers={} if retired is None else {"Deprecation": _SECONDS},
        components={_features_of(group): _told(group)},
        deprecated=retired is not None,
    )


# One row


def lookup(group: FeatureGroup, source: Source) -> dict[str, Schema]:
    """Describe the fields of a lookup's answer."""
    return {
        # As text, as it was sent.
        **{name: {"type": "string"} for name in group.entity},
        "as_of": TIME,
        "features": component(_features_of(group)),
        "source": {"const": source},
        "available_at": TIME,
        "stale": {"type": "boolean"},
    }


def path_key(group: FeatureGroup) -> Schema:
    """Describe the key at the end of a path."""
    (column,) = group.keys
    return _parameter(column, name="id", place="path")


def query_key(group: FeatureGroup) -> tuple[Schema, ...]:
    """Describe the query parameters by which a row of a group is asked for, without its time."""
    keys = [_parameter(column, name=column.name, place="query") for column in group.keys]
    if FEATURES in group.entity:
        return tuple(keys)
    selection = {
        "name": FEATURES,
        "in": "query",
        "description": "The features to tell, in this order; left out: all.",
        "style": "form",
        "explode": False,
        "schema": _selection(group),
    }
    return (*keys, selection)


def query_time(group: FeatureGroup) -> tuple[Schema, ...]:
    """Describe the query parameter that says at which time; a key column may take its name."""
    if AS_OF in group.entity:
        return ()
    return ({"name": AS_OF, "in": "query", "required": True, "schema": AS_OF_SENT},)


# Many rows


def batch(group: FeatureGroup, source: Source, misses: tuple[str, ...]) -> dict[str, Schema]:
    """Describe the fields of a batch's answer; every list is as long as the keys asked for."""
    return {
        "group": {"const": group.name},
        "source": {"const": source},
        "as_of": TIME if source == "online" else of_list(TIME),
        "columns": of_list({"enum": list(group.features)}),
        "rows": of_list(of_list(any_of([column.type for column in _features(group)]))),
        "available_at": of_list(or_null(TIME)),
        "stale": of_list({"type": ["boolean", "null"]}),
        "missing": of_list({"enum": [None, *misses]}),
    }


def batch_body(group: FeatureGroup, *, timed: bool) -> Schema:
    """Describe the body of a batch; *timed* when rows have an `as_of`."""
    own = timed and AS_OF not in group.entity
    key = closed(
        {
            **{column.name: sent_key(column) for column in group.keys},
            **({AS_OF: AS_OF_SENT} if own else {}),
        },
        optional=(AS_OF,) if own else (),
    )
    fields: dict[str, Schema] = {
        KEYS: {"type": "array", "maxItems": MOST_ROWS, "items": key},
        FEATURES: or_null(_selection(group)),
        **({AS_OF: {"anyOf": [AS_OF_SENT, {"type": "null"}]}} if timed else {}),
    }
    body = closed(fields, optional=(FEATURES, AS_OF))
    body["description"] = f"At most {MOST_ROWS} keys and {MOST_BYTES} bytes."
    if timed:
        for_all: Schema = {"required": [AS_OF], "properties": {AS_OF: {"type": "string"}}}
        for_each: Schema = {"properties": {KEYS: {"items": {"required": [AS_OF]}}}}
        body["anyOf"] = [for_all, for_each] if own else [for_all]
    return body


# Errors


def error(codes: list[str]) -> Schema:
    """Describe the answer of an error that has one of these codes."""
    fields: dict[str, Schema] = {"code": {"enum": codes}, "message": {"type": "string"}}
    return of_object({"error": of_object(fields)})


def meanings(codes: list[str]) -> str:
    """Say in one line what these codes mean."""
    return "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes)


def _features_of(group: FeatureGroup) -> str:
    return f"{group.name}.features"


def _told(group: FeatureGroup) -> Schema:
    # None is required: a row of an older contract may lack it, and a client may not ask for it.
    return {
        "type": "object",
        "properties": {column.name: _feature(column) for column in _features(group)},
    }


def _features(group: FeatureGroup) -> list[Column]:
    columns = {column.name: column for column in group.columns}
    return [columns[name] for name in group.features]


def _feature(column: Column) -> Schema:
    said = {"description": column.description} if column.description else {}
    return {**or_null(of_type(column.type)), **said}


def _parameter(column: Column, *, name: str, place: Literal["path", "query"]) -> Schema:
    not_empty = {"minLength": 1} if column.type == "string" else {}
    return {
        "name": name,
        "in": place,
        "required": True,
        "description": column.description or column.name,
        "schema": {**of_type(column.type), **not_empty},
    }


def _selection(group: FeatureGroup) -> Schema:
    names = {"enum": list(group.features)}
    return {"type": "array", "items": names, "minItems": 1, "uniqueItems": True}
