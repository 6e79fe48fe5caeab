"""
The one shape of every error answer, `{"error": {"code", "message"}}`, and the codes there are.

Responsible for the codes, their HTTP status and meaning, and the translation of whatever was raised
into them. Does not show a traceback or a framework's own page to a client: an unexpected error is
logged, and answered as `internal_error`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http import HTTPStatus
from threading import Event
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from materializer.errors import (
    Expired,
    FeatureStoreError,
    LookupMiss,
    NotMaterialized,
    NotPublished,
    NotYetAvailable,
    StoreUnavailable,
    UnknownEntity,
    UnknownGroup,
)

CODES: dict[str, tuple[int, str]] = {
    "missing_as_of": (400, "an offline lookup without as_of"),
    "bad_as_of": (400, "as_of is not an ISO 8601 date or time"),
    "as_of_in_future": (400, "as_of is later than the server's clock"),
    "bad_request": (400, "the request is wrong in another way, such as an id that is not UTF-8"),
    "too_many_rows": (400, "a batch has more keys than one may have"),
    "unauthorized": (401, "the bearer token of FEATURE_SERVER_TOKEN is missing or wrong"),
    "unknown_entity": (404, "no such id in this store"),
    "not_yet_available": (404, "the id is known, but its first row is available later than as_of"),
    "expired": (404, "the newest row does not hold any more, by fresh_hours or ttl_days"),
    "unknown_group": (404, "no such group was published, or none that answers this route"),
    "unknown_view": (404, "no such feature view was pushed"),
    "unknown_route": (404, "no such route"),
    "method_not_allowed": (405, "the route exists, but answers other methods only"),
    "request_timeout": (408, "the body of the request did not end in time"),
    "version_gone": (409, "the view has no such version of its parameters, or not any more"),
    "version_outdated": (
        409,
        "a group of the view has another definition now than the version was fitted on",
    ),
    "internal_error": (500, "a defect of the server, or a value it cannot read; see its log"),
    "store_unavailable": (503, "a store cannot be reached now; try again"),
    "overloaded": (503, "too many such requests at one time; try again"),
    "not_materialized": (503, "nothing was pushed, or published, yet"),
}


class Overloaded(StoreUnavailable):
    """There is no room for a request, because too many like it are not answered yet."""

    def __init__(self) -> None:
        super().__init__("too many such requests at one time; try again")


# The first that fits decides.
_KINDS: tuple[tuple[type[FeatureStoreError], str], ...] = (
    (UnknownEntity, "unknown_entity"),
    (UnknownGroup, "unknown_group"),
    (NotYetAvailable, "not_yet_available"),
    (Expired, "expired"),
    (NotPublished, "not_materialized"),
    (NotMaterialized, "not_materialized"),
    (Overloaded, "overloaded"),
    (StoreUnavailable, "store_unavailable"),
)
# Why there is no row, and the code of that.
MISSES: dict[type[LookupMiss], str] = {
    kind: code for kind, code in _KINDS if issubclass(kind, LookupMiss)
}
# What a client should do next, for those that read headers only.
_HEADERS: dict[str, dict[str, str]] = {
    "unauthorized": {"WWW-Authenticate": "Bearer"},
    "request_timeout": {"Connection": "close"},
    "store_unavailable": {"Retry-After": "1"},
    "overloaded": {"Retry-After": "1"},
}
# What any route may answer.
ANYWHERE = ("bad_request", "internal_error")
_logger = logging.getLogger(__name__)


class ApiError(Exception):
    """An error answer, raised anywhere below a route."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES[code][0]


class RequestTimeout(ApiError):
    """
    The body of a request did not end in time.

    Attributes:
        ended: Set once nobody reads the body any more.
    """

    def __init__(self, problem: str) -> None:
        super().__init__("request_timeout", f"the body did not end: {problem}")
        self.ended = Event()


def init_app(app: Flask) -> None:
    """Answer every error of *app* in the one shape."""
    app.register_error_handler(Exception, _answer)


def _answer(error: Exception) -> Response:
    known = translate(error)
    response = jsonify(body(known))
    response.status_code = known.status
    response.headers.update(_HEADERS.get(known.code, {}))
    if isinstance(error, RequestTimeout) and request.environ.get("SERVER_SOFTWARE") == "Granian":
        response.response = _held(response.get_data(), error.ended)
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
    return response


def _held(text: bytes, ended: Event) -> Iterator[bytes]:
    """
    Return an answer, all at once, and its end only when nobody reads the body any more.

    Granian waits for that when an answer ends, and keeps Python from everybody else meanwhile.
    """
    yield text
    ended.wait()


def body(error: ApiError) -> dict[str, Any]:
    """Return the JSON document of an error."""
    return {"error": {"code": error.code, "message": str(error)}}


def translate(error: Exception) -> ApiError:
    """Return the error answer for whatever was raised; an unexpected error is logged."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        return _http(error)
    for kind, code in _KINDS:
        if isinstance(error, kind):
            return ApiError(code, str(error))
    _logger.error("unexpected error", exc_info=error)
    if isinstance(error, FeatureStoreError):
        return ApiError("internal_error", str(error))
    return ApiError("internal_error", "the server failed; its log says why")


def codes_of(*raised: str | type[FeatureStoreError]) -> tuple[str, ...]:
    """
    Return codes, each once.

    Args:
        raised: Codes, and exceptions, which stand for the codes of themselves and their subclasses.

    Raises:
        KeyError: A code is not in the table, or an exception has none of its own.
    """
    codes: list[str] = []
    for error in raised:
        if isinstance(error, str):
            known = [error] if error in CODES else []
        else:
            known = [code for kind, code in _KINDS if issubclass(kind, error)]
        if not known:
            raise KeyError(error)
        codes += known
    return tuple(dict.fromkeys(codes))


def quoted(text: str) -> str:
    """Return what a client sent in quotes, cut where it is long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _http(error: HTTPException) -> ApiError:
    status = error.code or 500
    if isinstance(error, MethodNotAllowed):
        *most, last = sorted(error.valid_methods or ["nothing"])
        methods = f"{', '.join(most)} and {last}" if most else last
        return ApiError("method_not_allowed", f"this route answers {methods} only")
    if status == HTTPStatus.NOT_FOUND:
        return ApiError(
            "unknown_route",
            "no such route; lookups are GET /features/online/<id> and "
            "GET /features/offline/<id>?as_of=<time>",
        )
    code = "bad_request" if status < 500 else "internal_error"
    return ApiError(code, error.description or error.name)
