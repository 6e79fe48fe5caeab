"""
The one shape of every error answer, `{"error": {"code", "message"}}`, and the codes there are.

Responsible for the codes, their HTTP status and meaning, and the translation of whatever was raised
into them. Does not show a traceback or a framework's own page to a client: an unexpected error is
logged, and answered as `internal_error`.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify
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
    "version_gone": (409, "the view has no such version of its parameters, or not any more"),
    "internal_error": (500, "a defect of the server, or a value it cannot read; see its log"),
    "store_unavailable": (503, "a store cannot be reached now; try again"),
    "not_materialized": (503, "nothing was pushed, or published, yet"),
}

# The first that fits decides.
_KINDS: tuple[tuple[type[FeatureStoreError], str], ...] = (
    (UnknownEntity, "unknown_entity"),
    (UnknownGroup, "unknown_group"),
    (NotYetAvailable, "not_yet_available"),
    (Expired, "expired"),
    (NotPublished, "not_materialized"),
    (NotMaterialized, "not_materialized"),
    (StoreUnavailable, "store_unavailable"),
)
# Why there is no row, and the code of that.
MISSES: dict[type[LookupMiss], str] = {
    kind: code for kind, code in _KINDS if issubclass(kind, LookupMiss)
}
# What any route may answer.
ANYWHERE = "internal_error"
_logger = logging.getLogger(__name__)


class ApiError(Exception):
    """An error answer, raised anywhere below a route."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES[code][0]


def init_app(app: Flask) -> None:
    """Answer every error of *app* in the one shape."""
    app.register_error_handler(Exception, _answer)


def _answer(error: Exception) -> Response:
    known = translate(error)
    response = jsonify(body(known))
    response.status_code = known.status
    if known.code == "unauthorized":
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
    return response


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
