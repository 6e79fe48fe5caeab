"""
Which rows a batch asks for: keys, times and features, from a JSON body.

Owns the form of a batch's body, its limits, and messages that name the row at fault. Refuses to
answer a part of a body: one wrong key refuses the whole, since a client that is told 200 does not
look for what was left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from materializer.registry import FeatureGroup
from serve.errors import ApiError, quoted
from serve.requests.as_of import read_moment
from serve.requests.query import AS_OF, FEATURES, select

# Rows of one batch, and bytes of its body: room for keys of some 1,600 bytes each.
MOST_ROWS = 10_000
MOST_BYTES = 16 * 2**20

KEYS = "keys"

_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Batch:
    """
    What one batch of n rows asks for.

    Attributes:
        keys: n keys, each the values of the key columns as text, in key order.
        times: n values of `as_of` as they were sent, the row's own or that of all; None for none.
        shared: The `as_of` of all as it was sent, None for none.
        features: The features asked for, in that order.
    """

    keys: list[tuple[str, ...]]
    times: list[object]
    shared: object
    features: tuple[str, ...]


def read_batch(group: FeatureGroup, body: Mapping[str, Any], *, timed: bool) -> Batch:
    """
    Read what a batch asks for.

    Args:
        group: The group that is asked.
        body: Its body.
        timed: Whether rows have an `as_of`.

    Raises:
        ApiError: `too_many_rows`; `bad_request`: the body says what it may not.
    """
    known = [KEYS, FEATURES, *([AS_OF] if timed else [])]
    for name in body:
        if name == AS_OF and not timed:
            raise ApiError(
                "bad_request",
                "online batches answer for now; for as_of use "
                f"/feature-groups/{group.name}/offline",
            )
        if name not in known:
            raise ApiError(
                "bad_request", f"unknown field {quoted(name)}; known: {', '.join(known)}"
            )
    keys = body.get(KEYS)
    if not isinstance(keys, list):
        raise ApiError("bad_request", f"send {_example(group)}")
    if len(keys) > MOST_ROWS:
        raise ApiError("too_many_rows", f"{len(keys)} keys; send {MOST_ROWS} at most in one batch")
    types = [(column.name, column.type) for column in group.keys]
    surplus = AS_OF if timed and AS_OF not in group.entity else None
    read = _plain_keys(group.entity, keys) or [
        _key(group, types, one, number, surplus) for number, one in enumerate(keys)
    ]
    shared = body.get(AS_OF)
    times = [one.get(surplus, shared) if surplus else shared for one in keys]
    return Batch(read, times, shared, _features(group, body))


def read_times(batch: Batch, *, now: datetime) -> list[datetime]:
    """
    Read the times of a batch.

    Args:
        batch: The batch, n rows.
        now: The clock [aware].

    Returns:
        n instants [aware, UTC].

    Raises:
        ApiError: `missing_as_of`, `bad_as_of`, `as_of_in_future`, naming the first such row; the
            time of all is read also when no row needs it.
    """
    read: dict[str, datetime] = {}
    moments = []
    for number, sent in enumerate(batch.times):
        if sent is None or sent == "":
            raise ApiError(
                "missing_as_of",
                f'keys[{number}] has no as_of; give it one, or "as_of" beside "keys" for all',
            )
        moments.append(_moment(sent, f"{KEYS}[{number}]: ", now, read))
    if batch.shared is not None:
        _moment(batch.shared, "", now, read)
    return moments


def _moment(sent: object, where: str, now: datetime, read: dict[str, datetime]) -> datetime:
    """Read one time, each text once."""
    if not isinstance(sent, str):
        raise ApiError("bad_as_of", f"{where}as_of is not a string")
    if sent not in read:
        try:
            read[sent] = read_moment(sent, now=now, example=f'"as_of": "{now:%Y-%m-%dT%H:%M:%SZ}"')
        except ApiError as error:
            raise ApiError(error.code, f"{where}{error}") from None
    return read[sent]


def read_json(request: Request) -> Mapping[str, Any]:
    """
    Read the JSON object that a batch sends.

    Raises:
        ApiError: `bad_request`: there is none, it is too large, or there are parameters too.
    """
    if request.query_string:
        raise ApiError("bad_request", "a batch takes its keys in the body, and no parameters")
    if not request.is_json:
        raise ApiError("bad_request", "send the batch as JSON, with Content-Type: application/json")
    try:
        body = json.loads(request.get_data(cache=False))
    except RequestEntityTooLarge:
        _drain(request)
        raise ApiError(
            "bad_request", f"the body is larger than {MOST_BYTES} bytes; send fewer keys"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ApiError("bad_request", f"the body is not JSON: {str(error)[:100]}") from None
    if not isinstance(body, dict):
        raise ApiError("bad_request", "the body is not a JSON object")
    return body


def _drain(request: Request) -> None:
    # A client that is still sending would see a broken connection in place of the answer.
    stream = request.environ["wsgi.input"]
    for _ in range(4 * MOST_BYTES // _PIECE):
        if not stream.read(_PIECE):
            return


def _example(group: FeatureGroup) -> str:
    key = ", ".join(f'"{name}": "..."' for name in group.entity)
    return f'{{"{KEYS}": [{{{key}}}, ...]}}'


def _plain_keys(entity: Sequence[str], sent: Sequence[Any]) -> list[tuple[str, ...]] | None:
    """Read keys of ASCII texts, as nearly all are, all at once; None leaves them to `_key`."""
    if set(map(type, sent)) != {dict} or set(map(len, sent)) != {len(entity)}:
        return None
    try:
        columns = [[one[name] for one in sent] for name in entity]
    except KeyError:
        return None
    for parts in columns:
        if set(map(type, parts)) != {str} or not all(parts) or not "".join(parts).isascii():
            return None
    return list(zip(*columns, strict=True))


def _key(
    group: FeatureGroup,
    types: Sequence[tuple[str, str]],
    sent: object,
    number: int,
    surplus: str | None,
) -> tuple[str, ...]:
    if not isinstance(sent, dict):
        raise ApiError("bad_request", f"{KEYS}[{number}] is not an object; send {_example(group)}")
    if len(sent) != len(types) + (surplus in sent):
        for name in sent:
            if name not in group.entity and name != surplus:
                raise ApiError(
                    "bad_request",
                    f"{KEYS}[{number}] has an unknown field {quoted(name)}; send {_example(group)}",
                )
    return tuple([key_part(f"{KEYS}[{number}]", name, type_, sent) for name, type_ in types])


def key_part(where: str, name: str, type_: str, sent: Mapping[str, object]) -> str:
    """
    Read the value of one key column as text.

    Args:
        where: What holds it, in words.
        name: The column.
        type_: Its type.
        sent: What holds it.

    Raises:
        ApiError: `bad_request`: it is missing, empty, or of another type.
    """
    value = sent.get(name)
    if isinstance(value, str):
        if not value:
            raise ApiError("bad_request", f"{where}: key column {name} is empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ApiError("bad_request", f"{where}: key column {name} is not Unicode") from None
        return value
    if type_ == "int64" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name not in sent:
        raise ApiError("bad_request", f"{where}: key column {name} is missing")
    kind = "a string or a whole number" if type_ == "int64" else "a string"
    raise ApiError("bad_request", f"{where}: key column {name} is not {kind}")


def _features(group: FeatureGroup, body: Mapping[str, Any]) -> tuple[str, ...]:
    names = body.get(FEATURES)
    if names is None:
        return group.features
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ApiError("bad_request", f"{FEATURES} is not a list of names")
    return select(group, names)
