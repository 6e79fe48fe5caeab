"""
The JSON Schemas of what clients send and get, made from what the registry says of a group.

Owns how a contract's type, a lookup's answer, and a batch's body and answer look to a machine.
Refuses to know a route, and to promise more than is kept: a feature may be missing while rows of an
older contract are still there, and fields may come beside those that are named.
"""

from __future__ import annotations

from typing import Literal

from materializer.registry import Column, FeatureGroup
from serve.bodies import KEYS, MOST_BYTES, MOST_ROWS
from serve.errors import CODES
from serve.keys import AS_OF, FEATURES
from serve.operations import Operation, Schema

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
# RFC 9651, section 3.3.7.
_SECONDS: Schema = {"type": "string", "pattern": r"^@-?\d+$"}
# A time as it may be sent. More is taken, such as one without offset, which has no name here.
_AS_OF: Schema = {
    "type": "string",
    "anyOf": [{"format": "date-time"}, {"format": "date"}],
    "description": "Not later than the server's clock. A day is its first instant in UTC.",
}


def of_type(kind: str) -> Schema:
    """Describe a value of a contract's type; of one that is not known yet, nothing is said."""
    if kind.startswith("array<"):
        return {"type": "array", "items": _or_null(of_type(kind[6:-1]))}
    return dict(_DECIMAL if kind.startswith("decimal(") else _TYPES.get(kind, {}))


def of_object(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Describe an object that has all these fields but the optional ones, and perhaps others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


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
        components={_component(group): _told(group)},
        deprecated=retired is not None,
    )


# One row


def lookup(group: FeatureGroup, source: Source) -> dict[str, Schema]:
    """Describe the fields of a lookup's answer."""
    return {
        # As text, as it was sent.
        **{name: {"type": "string"} for name in group.entity},
        "as_of": TIME,
        "features": {"$ref": f"#/components/schemas/{_component(group)}"},
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
    return ({"name": AS_OF, "in": "query", "required": True, "schema": _AS_OF},)


# Many rows


def batch(group: FeatureGroup, source: Source, misses: tuple[str, ...]) -> dict[str, Schema]:
    """Describe the fields of a batch's answer; every list is as long as the keys asked for."""
    kinds: list[Schema] = []
    for column in _features(group):
        if (kind := of_type(column.type)) not in kinds:
            kinds.append(kind)
    return {
        "group": {"const": group.name},
        "source": {"const": source},
        "as_of": TIME if source == "online" else _list(TIME),
        "columns": _list({"enum": list(group.features)}),
        "rows": _list(_list({"anyOf": [*kinds, {"type": "null"}]})),
        "available_at": _list(_or_null(TIME)),
        "stale": _list({"type": ["boolean", "null"]}),
        "missing": _list({"enum": [None, *misses]}),
    }


def batch_body(group: FeatureGroup, *, timed: bool) -> Schema:
    """Describe the body of a batch; *timed* when rows have an `as_of`."""
    own = timed and AS_OF not in group.entity
    key = of_object(
        {
            **{column.name: _sent_key(column) for column in group.keys},
            **({AS_OF: _AS_OF} if own else {}),
        },
        optional=(AS_OF,) if own else (),
    )
    key["additionalProperties"] = False
    fields: dict[str, Schema] = {
        KEYS: {"type": "array", "maxItems": MOST_ROWS, "items": key},
        FEATURES: _or_null(_selection(group)),
        **({AS_OF: {"anyOf": [_AS_OF, {"type": "null"}]}} if timed else {}),
    }
    body = of_object(fields, optional=(FEATURES, AS_OF))
    body["additionalProperties"] = False
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


def _component(group: FeatureGroup) -> str:
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
    return {**_or_null(of_type(column.type)), **said}


def _parameter(column: Column, *, name: str, place: Literal["path", "query"]) -> Schema:
    not_empty = {"minLength": 1} if column.type == "string" else {}
    return {
        "name": name,
        "in": place,
        "required": True,
        "description": column.description or column.name,
        "schema": {**of_type(column.type), **not_empty},
    }


def _sent_key(column: Column) -> Schema:
    # A batch takes any text, and then has no such row; a whole number for an integer too.
    text = {"type": "string", "minLength": 1}
    return {**text, "type": ["string", "integer"]} if column.type == "int64" else text


def _selection(group: FeatureGroup) -> Schema:
    names = {"enum": list(group.features)}
    return {"type": "array", "items": names, "minItems": 1, "uniqueItems": True}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema
