"""
Responsible for reading a lookup of one row: its key from the path or the query string.

Does not guess: every key column is needed, once and not empty; an unknown parameter is an error;
and bytes that are not UTF-8 are never replaced by a look-alike. Does not tidy a path either: no
slash is merged and no dot resolved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from flask import Flask, Request
from werkzeug.routing import BaseConverter

from materializer.registry import FeatureGroup
from serve.errors import ApiError, quoted
from serve.requests.as_of import AS_OF

FEATURES = "features"

_MOST_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """
    A lookup of one row.

    Attributes:
        key: The values of the key columns, in key order.
        features: The requested features, in their order; None for all.
        as_of: Every `as_of` that was sent.
    """

    key: tuple[str, ...]
    features: tuple[str, ...] | None
    as_of: Sequence[str]


class AnyId(BaseConverter):
    """The rest of a path, slashes and line breaks included; also empty, which `read_id` refuses."""

    regex = r"[\s\S]*"
    part_isolating = False


def init_app(app: Flask) -> None:
    """Make `<id:name>` usable in routes of *app*. Call it before the routes are added."""
    app.url_map.converters["id"] = AnyId
    app.url_map.merge_slashes = False


def read_id(request: Request, entity_id: str) -> LookupRequest:
    """
    Read a lookup by the id at the end of a path.

    Raises:
        ApiError: `bad_request`: the id is empty, or the path is not UTF-8.
    """
    if not entity_id:
        raise ApiError("bad_request", "the path ends without an id")
    try:
        # WSGI carries the decoded bytes of the path as Latin-1. Flask reads them as UTF-8, but puts
        # a replacement character wherever they are not.
        request.environ["PATH_INFO"].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError(
            "bad_request", f"byte {error.start} of the path is not UTF-8, as every id must be"
        ) from None
    return LookupRequest((entity_id,), None, request.args.getlist(AS_OF))


def read_query(group: FeatureGroup, raw: bytes) -> LookupRequest:
    """
    Read a lookup by the key columns of *group*, from a query string as it was sent.

    Raises:
        ApiError: `bad_request`: a key column is missing, empty or given twice, a parameter or a
            feature is unknown, or the query is not UTF-8.
    """
    sent = _parse(raw)
    for name in sent:
        if name not in {*group.entity, FEATURES, AS_OF}:
            raise ApiError(
                "bad_request", f"unknown parameter {quoted(name)}; {_what_to_send(group)}"
            )
    key = tuple(_key_value(group, name, sent.get(name, [])) for name in group.entity)
    features = None
    if FEATURES in sent and FEATURES not in group.entity:
        if len(sent[FEATURES]) > 1:
            raise ApiError("bad_request", "features is given twice; separate names by commas")
        features = check_features(group, sent[FEATURES][0].split(","))
    return LookupRequest(key, features, sent.get(AS_OF, []) if AS_OF not in group.entity else [])


def check_features(group: FeatureGroup, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of requested features; `bad_request` if one is unknown or there is none."""
    known = f"features of {group.name}: {', '.join(group.features)}"
    for number, name in enumerate(names):
        if name not in group.features:
            raise ApiError("bad_request", f"unknown feature {quoted(name)}; {known}")
        if name in names[:number]:
            raise ApiError("bad_request", f"feature {name!r} is named twice")
    if not names:
        raise ApiError("bad_request", f"no feature is named; leave it out for all; {known}")
    return tuple(names)


def _what_to_send(group: FeatureGroup) -> str:
    example = urlencode(dict.fromkeys(group.entity, "..."), safe=".")
    return f"send ?{example}, and if needed {FEATURES}=<name>,<name>"


def _parse(raw: bytes) -> Mapping[str, list[str]]:
    # Flask's own reading puts a look-alike in the place of bytes that are not UTF-8.
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except UnicodeDecodeError:
        raise ApiError("bad_request", "the query is not UTF-8 once it is percent-decoded") from None
    except ValueError:
        raise ApiError("bad_request", f"more than {_MOST_PARAMETERS} parameters") from None
    sent: dict[str, list[str]] = {}
    for name, value in pairs:
        sent.setdefault(name, []).append(value)
    return sent


def _key_value(group: FeatureGroup, name: str, values: Sequence[str]) -> str:
    if not values:
        raise ApiError("bad_request", f"key column {name} is missing; {_what_to_send(group)}")
    if len(values) > 1:
        raise ApiError("bad_request", f"key column {name} is given {len(values)} times")
    if not values[0]:
        raise ApiError("bad_request", f"key column {name} is empty")
    return values[0]
