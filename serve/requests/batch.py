"""
Responsible for reading a batch: keys, features and times of many rows, from a JSON body.

Also owns what every JSON body shares: its fields, and how keys are read. A message
names the row at fault. Does not accept a part of a body: one wrong key refuses the whole, because a
client that gets a 200 does not look for what was left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from flask import Request, current_app

from materializer.registry import Column, FeatureGroup
from serve.errors import ApiError, quoted
from serve.requests.as_of import AS_OF, read_body_time
from serve.requests.body import BODIES
from serve.requests.query import FEATURES, check_features

# Rows of one batch.
MOST_ROWS = 10_000

KEYS = "keys"

# The values of the key columns as text, in key order.
Key: TypeAlias = "tuple[str, ...]"


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """
    A batch of n rows.

    Attributes:
        keys: n keys.
        features: The requested features, in their order.
        times: n instants [aware, UTC]; none for a batch that is answered for now.
    """

    keys: list[Key]
    features: tuple[str, ...]
    times: list[datetime]


def read_body(request: Request) -> Mapping[str, Any]:
    """
    Read the JSON object that a request sends.

    Raises:
        ApiError: `bad_request`: there is none, or there are parameters too; see `Bodies.take`.
    """
    if request.query_string:
        raise ApiError("bad_request", "a batch takes its keys in the body, and no parameters")
    if not request.is_json:
        raise ApiError("bad_request", "send the batch as JSON, with Content-Type: application/json")
    try:
        body = json.loads(current_app.extensions[BODIES].take(request.environ))
    except (ValueError, RecursionError) as error:
        raise ApiError("bad_request", f"the body is not JSON: {str(error)[:100]}") from None
    if not isinstance(body, dict):
        raise ApiError("bad_request", "the body is not a JSON object")
    return body


def read_batch(
    group: FeatureGroup, body: Mapping[str, Any], *, now: datetime | None = None
) -> BatchRequest:
    """
    Read a batch of rows of *group*; with a clock [aware], each row has an `as_of`.

    Raises:
        ApiError: `too_many_rows`; `bad_request`; with a clock also `missing_as_of`, `bad_as_of` and
            `as_of_in_future`.
    """
    if AS_OF in body and now is None:
        raise ApiError(
            "bad_request",
            f"online batches answer for now; for as_of use /feature-groups/{group.name}/offline",
        )
    check_fields(body, (KEYS, FEATURES) if now is None else (KEYS, FEATURES, AS_OF))
    sent = body.get(KEYS)
    if not isinstance(sent, list):
        raise ApiError("bad_request", f'send {{"{KEYS}": [{_example(group.keys)}, ...]}}')
    check_size(sent)
    # A key column may have this name; then only the whole batch can have a time.
    has_own_times = now is not None and AS_OF not in group.entity
    keys = read_keys(group.keys, sent, extra=AS_OF if has_own_times else None)
    features = _features(group, body)
    if now is None:
        return BatchRequest(keys, features, [])
    shared = body.get(AS_OF)
    times = [key.get(AS_OF, shared) for key in sent] if has_own_times else [shared] * len(sent)
    return BatchRequest(keys, features, _read_times(times, shared, now))


def check_fields(body: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise `bad_request` if a body has an unknown field."""
    for name in body:
        if name not in known:
            raise ApiError(
                "bad_request", f"unknown field {quoted(name)}; known: {', '.join(known)}"
            )


def check_size(keys: Sequence[object]) -> None:
    """Raise `too_many_rows` if a body has more keys than one may have."""
    if len(keys) > MOST_ROWS:
        raise ApiError("too_many_rows", f"{len(keys)} keys; send {MOST_ROWS} at most in one batch")


def read_keys(
    columns: Sequence[Column],
    sent: Sequence[Any],
    *,
    where: str = f"{KEYS}[{{}}]",
    extra: str | None = None,
) -> list[Key]:
    """
    Read n keys.

    Args:
        columns: The key columns.
        sent: n objects.
        where: What an object is called in a message, `{}` for its number.
        extra: A field that an object may have too.

    Raises:
        ApiError: `bad_request`: a key column is missing, unknown, empty or of another type.
    """
    return _read_plain_keys(columns, sent) or [
        _read_key(columns, key, extra, where, number) for number, key in enumerate(sent)
    ]


def _read_plain_keys(columns: Sequence[Column], sent: Sequence[Any]) -> list[Key] | None:
    """Read keys of ASCII texts, as nearly all are, all at once; None leaves them to `_read_key`."""
    if set(map(type, sent)) != {dict} or set(map(len, sent)) != {len(columns)}:
        return None
    try:
        values = [[key[column.name] for key in sent] for column in columns]
    except KeyError:
        return None
    for texts in values:
        if set(map(type, texts)) != {str} or not all(texts) or not "".join(texts).isascii():
            return None
    return list(zip(*values, strict=True))


def _read_key(
    columns: Sequence[Column], sent: object, extra: str | None, where: str, number: int
) -> Key:
    if not isinstance(sent, dict):
        raise _wrong(where, number, f" is not an object; send {_example(columns)}")
    if len(sent) != len(columns) + (extra in sent):
        names = {extra, *(column.name for column in columns)}
        if unknown := next((name for name in sent if name not in names), None):
            problem = f" has an unknown field {quoted(unknown)}; send {_example(columns)}"
            raise _wrong(where, number, problem)
    try:
        return tuple([_read_key_value(column, sent) for column in columns])
    except ValueError as error:
        raise _wrong(where, number, f": key column {error}") from None


def _wrong(where: str, number: int, problem: str) -> ApiError:
    return ApiError("bad_request", f"{where.format(number)}{problem}")


def _read_key_value(column: Column, sent: Mapping[str, object]) -> str:
    value = sent.get(column.name)
    if isinstance(value, str):
        if not value:
            raise ValueError(f"{column.name} is empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{column.name} is not Unicode") from None
        return value
    if column.type == "int64" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if column.name not in sent:
        raise ValueError(f"{column.name} is missing")
    kind = "a string or a whole number" if column.type == "int64" else "a string"
    raise ValueError(f"{column.name} is not {kind}")


def _example(columns: Sequence[Column]) -> str:
    fields = ", ".join(f'"{column.name}": "..."' for column in columns)
    return f"{{{fields}}}"


def _features(group: FeatureGroup, body: Mapping[str, Any]) -> tuple[str, ...]:
    names = body.get(FEATURES)
    if names is None:
        return group.features
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ApiError("bad_request", f"{FEATURES} is not a list of names")
    return check_features(group, names)


def _read_times(sent: Sequence[object], shared: object, now: datetime) -> list[datetime]:
    """Read n times, each text once; the time of all also when no row needs it."""
    known: dict[object, datetime] = {}
    times = []
    for number, text in enumerate(sent):
        if text is None or text == "":
            raise ApiError(
                "missing_as_of",
                f'keys[{number}] has no as_of; give it one, or "as_of" next to "keys" for all',
            )
        if not isinstance(text, str) or text not in known:
            known[text] = read_body_time(text, now=now, where=f"{KEYS}[{number}]: ")
        times.append(known[text])
    if shared is not None:
        read_body_time(shared, now=now)
    return times
