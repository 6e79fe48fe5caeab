"""
Responsible for reading a request for vectors: keys, values, a time and a version, from a JSON body.

Does not accept a value that its feature cannot have: a model would take it, and be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from functools import lru_cache, partial
from typing import Annotated, Any, NotRequired

from flask import Request
from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    Strict,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict

from materializer.config import format_time, parse_time
from materializer.registry.types import element_type
from materializer.registry.values import json_value
from materializer.views.definition import ViewVersion
from serve.errors import ApiError, quoted
from serve.requests.as_of import AS_OF, read_body_time
from serve.requests.batch import KEYS, Key, check_fields, check_size, read_body, read_keys

VALUES = "values"
VERSION = "version"

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# More digits than any decimal type has, so that nothing is rounded before it is compared.
_EXACT = Context(prec=100)


@dataclass(frozen=True, slots=True)
class VectorRequest:
    """
    A request for n vectors; keys and values are read against a version of the view.

    Attributes:
        many: Whether keys are a list.
        sent_keys: n keys as they were sent.
        sent_values: n objects as they were sent, None for one without values.
        version: The requested version, None for the newest.
        as_of: The time to answer for [aware, UTC], None for now.
    """

    many: bool
    sent_keys: Sequence[Any]
    sent_values: Sequence[Any]
    version: str | None
    as_of: datetime | None

    def keys(self, version: ViewVersion) -> list[Key]:
        """
        Read the keys of the n vectors.

        Raises:
            ApiError: `bad_request`: one is missing, unknown, empty or of another type.
        """
        return read_keys(version.keys, self.sent_keys, where=self._where(KEYS))

    def values(self, version: ViewVersion) -> list[Mapping[str, Any]]:
        """
        Read the values that the request brings.

        Returns:
            For each of the n vectors, values by the name of a feature; null is a value too.

        Raises:
            ApiError: `bad_request`: one is of no feature, or of another type.
        """
        types = {feature.name: feature.type for feature in version.features}
        adapter = _adapter(tuple(types.items()))
        where = self._where(VALUES)
        return [
            _read_values(adapter, types, sent, where.format(number)) if sent is not None else {}
            for number, sent in enumerate(self.sent_values)
        ]

    def _where(self, field: str) -> str:
        return f"{field}[{{}}]" if self.many else field


def read_vectors(request: Request, *, now: datetime) -> VectorRequest:
    """
    Read the body of a request for vectors.

    Raises:
        ApiError: `bad_request`, `too_many_rows`, `bad_as_of`, `as_of_in_future`.
    """
    body = read_body(request)
    check_fields(body, (KEYS, VALUES, VERSION, AS_OF))
    keys, values, version = body.get(KEYS), body.get(VALUES), body.get(VERSION)
    many = isinstance(keys, list)
    if not isinstance(keys, list):
        keys, values = [keys], [values]
    check_size(keys)
    if values is None:
        values = [None] * len(keys)
    if not isinstance(values, list) or len(values) != len(keys):
        raise ApiError("bad_request", f"{VALUES} is not a list as long as {KEYS}")
    if version is not None and not isinstance(version, str):
        raise ApiError("bad_request", f"{VERSION} is not a string")
    as_of = body.get(AS_OF)
    time = None if as_of is None else read_body_time(as_of, now=now)
    return VectorRequest(many, keys, values, version, time)


def _read_values(
    adapter: TypeAdapter[dict[str, Any]], types: Mapping[str, str], sent: Any, where: str
) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise ApiError("bad_request", f"{where} is not an object")
    try:
        return adapter.validate_python(sent)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
    if name not in types:
        raise ApiError(
            "bad_request", f"{where}: unknown feature {quoted(name)}; there are {', '.join(types)}"
        )
    raise ApiError("bad_request", f"{where}: {name} is not {_form(types[name])}")


@lru_cache(maxsize=128)
def _adapter(types: tuple[tuple[str, str], ...]) -> TypeAdapter[dict[str, Any]]:
    """Make what reads values by the types of features into the form that the online store has."""
    fields = {name: NotRequired[_annotated(kind) | None] for name, kind in types}
    # Of names that are known only now, which mypy does not allow.
    make: Any = TypedDict
    return TypeAdapter(with_config(extra="forbid")(make("Values", fields)))


def _annotated(kind: str) -> Any:
    if element := element_type(kind):
        return Annotated[list[_annotated(element) | None], Strict()]  # type: ignore[misc]
    if kind.startswith("decimal("):
        precision, scale = map(int, kind[len("decimal(") : -1].split(","))
        return Annotated[Any, PlainValidator(partial(_read_decimal, precision, scale))]
    return _TYPES[kind][0]


def _form(kind: str) -> str:
    if element_type(kind):
        return f"a list of type {kind}"
    return _TYPES[kind][1] if kind in _TYPES else f"a {kind}, as a string or a whole number"


def _read_date(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError
    return text


def _read_timestamp(text: str) -> str:
    try:
        return format_time(parse_time(text))
    except OverflowError as error:
        raise ValueError from error


def _read_decimal(precision: int, scale: int, value: object) -> str:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError
    elif isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    number = Decimal(value)
    if not number.copy_abs() < 10 ** (precision - scale):
        raise ValueError
    # The context's sum has no negative zero, which no stored decimal has.
    fitted = _EXACT.add(number.quantize(Decimal(1).scaleb(-scale), context=_EXACT), Decimal(0))
    if fitted != number:
        raise ValueError
    return str(json_value(fitted))


# With a constraint, a lone half of a surrogate pair is refused, which no store can hold.
_STRING = Annotated[str, Field(strict=True, min_length=0)]
# Of each type what is accepted, and what a message calls that.
_TYPES: Mapping[str, tuple[Any, str]] = {
    "string": (_STRING, "a string"),
    "int64": (
        Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)],
        "a whole number of 64 bits",
    ),
    "double": (Annotated[float, Field(strict=True, allow_inf_nan=False)], "a finite number"),
    "boolean": (Annotated[bool, Strict()], "true or false"),
    "date": (Annotated[_STRING, AfterValidator(_read_date)], "a date such as 2024-02-29"),
    "timestamp": (
        Annotated[_STRING, AfterValidator(_read_timestamp)],
        "a time such as 2024-02-29T12:00:00Z",
    ),
}
