"""
Which vectors a request asks for: keys, values of its own, a time and a version, from a JSON body.

Owns the form of that body and the types of request-time values. Refuses a value that its feature
cannot have, naming it: a model would take it, and be wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from functools import partial
from typing import Any

from flask import Request

from materializer.config import format_time, parse_time
from materializer.registry import ViewVersion
from materializer.registry.types import element_type
from serve.errors import ApiError, quoted
from serve.requests.as_of import read_moment
from serve.requests.batch import KEYS, MOST_ROWS, key_part, read_json
from serve.requests.query import AS_OF

VALUES = "values"
VERSION = "version"

_FIELDS = (KEYS, VALUES, VERSION, AS_OF)
_INT64 = range(-(2**63), 2**63)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# More digits than any decimal type has, so that nothing is rounded before it is compared.
_EXACT = Context(prec=100)


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A body whose form is right; what it holds is checked against a version.

    Attributes:
        many: Whether keys are a list.
        keys: n objects.
        values: n objects.
        version: The version asked for, None for the newest.
        as_of: The time to answer for [aware, UTC], None for now.
    """

    many: bool
    keys: Sequence[Mapping[str, Any]]
    values: Sequence[Mapping[str, Any]]
    version: str | None
    as_of: datetime | None


def read_asked(request: Request, *, now: datetime) -> Asked:
    """
    Read the body of a request for vectors.

    Args:
        request: The request.
        now: The clock [aware].

    Raises:
        ApiError: `bad_request`, `too_many_rows`, `bad_as_of`, `as_of_in_future`.
    """
    body = read_json(request)
    for name in body:
        if name not in _FIELDS:
            raise ApiError(
                "bad_request", f"unknown field {quoted(name)}; known: {', '.join(_FIELDS)}"
            )
    given_keys, given_values = body.get(KEYS), body.get(VALUES)
    many = isinstance(given_keys, list)
    keys: list[Any] = given_keys if isinstance(given_keys, list) else [given_keys]
    values = given_values if many else [given_values]
    if values is None:
        values = [None] * len(keys)
    if len(keys) > MOST_ROWS:
        raise ApiError("too_many_rows", f"{len(keys)} keys; send {MOST_ROWS} at most in one batch")
    if not isinstance(values, list) or len(values) != len(keys):
        raise ApiError("bad_request", f"{VALUES} is not a list as long as {KEYS}")
    for number, (key, given) in enumerate(zip(keys, values, strict=True)):
        if not isinstance(key, dict) or not (given is None or isinstance(given, dict)):
            which = _which(many, KEYS if not isinstance(key, dict) else VALUES, number)
            raise ApiError("bad_request", f"{which} is not an object")
    version = body.get(VERSION)
    if version is not None and not isinstance(version, str):
        raise ApiError("bad_request", f"{VERSION} is not a text")
    return Asked(many, keys, [given or {} for given in values], version, _time(body, now))


def _which(many: bool, field: str, number: int) -> str:
    return f"{field}[{number}]" if many else field


def _time(body: Mapping[str, Any], now: datetime) -> datetime | None:
    given = body.get(AS_OF)
    if given is None:
        return None
    if not isinstance(given, str):
        raise ApiError("bad_as_of", "as_of is not a text")
    return read_moment(given, now=now, example=f'"{AS_OF}": "{now:%Y-%m-%dT%H:%M:%SZ}"')


def keys_of(version: ViewVersion, asked: Asked) -> list[dict[str, str]]:
    """
    Read the keys of a request.

    Returns:
        For each of the n rows, the text of each key column by its name.

    Raises:
        ApiError: `bad_request`: one is missing, unknown, empty or of another type.
    """
    names = [key.name for key in version.keys]
    read = []
    for number, sent in enumerate(asked.keys):
        where = _which(asked.many, KEYS, number)
        if unknown := next((name for name in sent if name not in names), None):
            raise ApiError(
                "bad_request",
                f"{where} has an unknown field {quoted(unknown)}; send {', '.join(names)}",
            )
        read.append({key.name: key_part(where, key.name, key.type, sent) for key in version.keys})
    return read


def values_of(version: ViewVersion, asked: Asked) -> list[Mapping[str, Any]]:
    """
    Check the request-time values of a request.

    Returns:
        For each of the n rows, a value by the name of a feature; null is a value too.

    Raises:
        ApiError: `bad_request`: one is of no feature, or of another type.
    """
    if not any(asked.values):
        return list(asked.values)
    types = {feature.name: feature.type for feature in version.features}
    readers = {name: _reader(kind) for name, kind in types.items()}
    read: list[Mapping[str, Any]] = []
    for number, sent in enumerate(asked.values):
        values: dict[str, Any] = {}
        for name, value in sent.items():
            where = f"{_which(asked.many, VALUES, number)}: "
            if name not in types:
                raise ApiError(
                    "bad_request",
                    f"{where}unknown feature {quoted(name)}; there are {', '.join(types)}",
                )
            try:
                values[name] = readers[name](value)
            except (ValueError, OverflowError):
                raise ApiError(
                    "bad_request", f"{where}{name} is not {_form(types[name])}"
                ) from None
        read.append(values)
    return read


def _form(kind: str) -> str:
    if element_type(kind):
        return f"a list of type {kind}"
    texts = {
        "string": "a text",
        "int64": "a whole number of 64 bits",
        "double": "a finite number",
        "boolean": "true or false",
        "date": "a date such as 2024-02-29",
        "timestamp": "a time such as 2024-02-29T12:00:00Z",
    }
    return texts.get(kind, f"a {kind}, as a text or a whole number")


def _reader(kind: str) -> Callable[[Any], Any]:
    """Make the function that reads a value of a type into the form that the online store has."""
    element = element_type(kind)
    if element is not None:
        read = _reader(element)
        return lambda value: None if value is None else [read(one) for one in _list(value)]
    if kind.startswith("decimal("):
        precision, scale = map(int, kind[len("decimal(") : -1].split(","))
        read = partial(_decimal, precision, scale)
    else:
        read = _READERS[kind]
    return lambda value: None if value is None else read(value)


def _list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    raise ValueError


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    value.encode()
    return value


def _int64(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
        return value
    raise ValueError


def _double(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _date(value: object) -> str:
    text = _string(value)
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError
    return text


def _timestamp(value: object) -> str:
    return format_time(parse_time(_string(value)))


def _decimal(precision: int, scale: int, value: object) -> str:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError
    elif isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    number = Decimal(value)
    if not abs(number) < 10 ** (precision - scale):
        raise ValueError
    # The context's sum has no negative zero, which no stored decimal has.
    fitted = _EXACT.add(number.quantize(Decimal(1).scaleb(-scale), context=_EXACT), Decimal(0))
    if fitted != number:
        raise ValueError
    return f"{fitted:f}"


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _string,
    "int64": _int64,
    "double": _double,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
}
