"""
Ids in paths: any characters, exactly as they were sent.

Owns the URL converter that takes the whole rest of a path, slashes, dots and line breaks included,
and the check that those bytes were UTF-8. Refuses to tidy: no slash is merged, no dot resolved, and
an id that cannot be read is an error, never a look-alike.
"""

from __future__ import annotations

from flask import Flask, request
from werkzeug.routing import BaseConverter

from serve.errors import ApiError


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
