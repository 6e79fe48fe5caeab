"""
Which row a request asks for: keys and features, from a query string.

Owns how a key is read from text, and the messages that say what to send. Refuses to guess: every
key column is needed, once and not empty; what is not asked for by name is an error; and bytes that
are not UTF-8 are never turned into a look-alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from flask import Flask, request
from werkzeug.routing import BaseConverter

from materializer.registry import FeatureGroup
from serve.errors import ApiError, quoted

# Parameters beside the key columns.
FEATURES = "features"
AS_OF = "as_of"

_MOST_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class Query:
    """
    What one lookup asks for.

    Attributes:
        key: The values of the key columns, in key order.
        features: The features asked for, in that order; None for all.
        as_of: Every `as_of` that was sent.
    """

    key: tuple[str, ...]
    features: tuple[str, ...] | None
    as_of: list[str]


def read_query(group: FeatureGroup, raw: bytes) -> Query:
    """
    Read the query string of a lookup by key columns.

    Args:
        group: The group that is asked.
        raw: The query string as it was sent, percent-encoded.

    Raises:
        ApiError: `bad_request`: a key column is missing, empty or given twice, a parameter or a
            feature is unknown, or the query is not UTF-8.
    """
    sent = _parse(raw)
    unknown = [name for name in sent if name not in {*group.entity, FEATURES, AS_OF}]
    if unknown:
        raise ApiError(
            "bad_request", f"unknown parameter {quoted(unknown[0])}; {what_to_send(group)}"
        )
    key = tuple(_one(group, name, sent.get(name, [])) for name in group.entity)
    features = None
    if FEATURES in sent and FEATURES not in group.entity:
        if len(sent[FEATURES]) > 1:
            raise ApiError("bad_request", "features is given twice; separate names by commas")
        features = select(group, sent[FEATURES][0].split(","))
    return Query(key, features, sent.get(AS_OF, []) if AS_OF not in group.entity else [])


def select(group: FeatureGroup, names: Sequence[str]) -> tuple[str, ...]:
    """
    Check a selection of features.

    Raises:
        ApiError: `bad_request`: one is unknown or named twice, or there is none.
    """
    known = f"features of {group.name}: {', '.join(group.features)}"
    for number, name in enumerate(names):
        if name not in group.features:
            raise ApiError("bad_request", f"unknown feature {quoted(name)}; {known}")
        if name in names[:number]:
            raise ApiError("bad_request", f"feature {name!r} is named twice")
    if not names:
        raise ApiError("bad_request", f"no feature is named; leave it out for all; {known}")
    return tuple(names)


def what_to_send(group: FeatureGroup) -> str:
    """Say in one clause which parameters a lookup in *group* takes."""
    example = urlencode(dict.fromkeys(group.entity, "..."), safe=".")
    return f"send ?{example}, and where wanted {FEATURES}=<name>,<name>"


def _parse(raw: bytes) -> Mapping[str, list[str]]:
    # Flask's own reading puts a look-alike in the place of bytes that are not UTF-8.
    try:
        pairs = parse_qsl(
            raw.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except UnicodeDecodeError:
        raise ApiError("bad_request", "the query is not UTF-8 once it is percent-decoded") from None
    except ValueError:
        raise ApiError("bad_request", f"more than {_MOST_PARAMETERS} parameters") from None
    sent: dict[str, list[str]] = {}
    for name, value in pairs:
        sent.setdefault(name, []).append(value)
    return sent


def _one(group: FeatureGroup, name: str, values: Sequence[str]) -> str:
    if not values:
        raise ApiError("bad_request", f"key column {name} is missing; {what_to_send(group)}")
    if len(values) > 1:
        raise ApiError("bad_request", f"key column {name} is given {len(values)} times")
    if not values[0]:
        raise ApiError("bad_request", f"key column {name} is empty")
    return values[0]


class AnyId(BaseConverter):
    """The rest of the path, also when it is empty, so that the answer can say so."""

    regex = r"[\s\S]*"
    part_isolating = False


def init_app(app: Flask) -> None:
    """Make `<id:name>` usable in routes of *app*. Call it before the routes are added."""
    app.url_map.converters["id"] = AnyId
    app.url_map.merge_slashes = False


def check_id(user_id: str) -> None:
    """
    Refuse what cannot be an id.

    Raises:
        ApiError: `bad_request`: it is empty, or the path was not UTF-8.
    """
    if not user_id:
        raise ApiError("bad_request", "the path ends without an id")
    try:
        # WSGI carries the decoded bytes of the path as Latin-1. Flask reads them as UTF-8, but puts
        # a replacement character in the place of what is none.
        request.environ["PATH_INFO"].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError(
            "bad_request", f"byte {error.start} of the path is not UTF-8, as every id must be"
        ) from None
