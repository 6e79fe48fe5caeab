"""
Every answer here equals Flask's to the byte, and is counted alike; tests/serve/test_fast_path.py.

Responsible for answering the most frequent requests, for the newest rows of one entity or of many,
in front of Flask, whose machinery takes several times as long as the lookup. Does not answer a
wrong token, an odd path or header, or whatever goes wrong: Flask starts again as if nothing had
been tried.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import orjson
from flask import Flask

from materializer.errors import LookupMiss
from materializer.registry import FeatureGroup
from serve import errors
from serve.auth import has_token
from serve.requests.batch import read_batch
from serve.requests.body import BODIES, Bodies, Environ
from serve.requests.head import HOST
from serve.requests.query import LookupRequest, read_query
from serve.responses import CompactJson
from serve.routes import metrics, online
from serve.routes.batch import find_rows
from serve.stores.stores import Stores

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

# Method and rule of the route, the status, the answer, and the headers that only it has.
FastAnswer: TypeAlias = "tuple[str, str, HTTPStatus, dict[str, Any], dict[str, str]]"

_BY_ID = online.BY_ID.split("<", 1)[0]
_BY_KEYS = re.compile(re.escape(online.BY_KEYS).replace("<group>", "([A-Za-z0-9_.-]+)"))


class FastPath:
    """
    A WSGI application in front of Flask's.

    Args:
        app: The application whose answers these are.
        stores: Its stores.
        token: What clients must send; None serves everybody.

    Attributes:
        flask: The application that answers the rest, and would answer all.
    """

    def __init__(self, app: Flask, stores: Stores, token: str | None) -> None:
        self.flask: WSGIApplication = app.wsgi_app
        self._json = cast("CompactJson", app.json)
        self._metrics = metrics.metrics_of(app)
        self._bodies: Bodies = app.extensions[BODIES]
        self._stores = stores
        self._token = token

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, given as WSGI gives it."""
        started = metrics.begin(environ)
        try:
            fast = self._answer(environ)
        except Exception:  # noqa: BLE001 - Flask meets it again, and reports it
            fast = None
        if fast is None:
            return self.flask(environ, start_response)
        method, rule, status, answer, headers = fast
        try:
            body = self._json.write(answer) + b"\n"
        finally:
            self._bodies.release(environ)
        self._metrics.answered(rule, method, status.value, time.perf_counter() - started)
        start_response(
            f"{status.value} {status.phrase.upper()}",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                *headers.items(),
                ("Cache-Control", "no-store"),
            ],
        )
        return [body]

    def _answer(self, request: Environ) -> FastAnswer | None:
        """Answer a plain request for rows; None leaves it to Flask."""
        method = request["REQUEST_METHOD"]
        if (
            method not in ("GET", "POST")
            or "HTTP_UPGRADE" in request
            or not HOST.fullmatch(request["HTTP_HOST"])
            or not has_token(request.get("HTTP_AUTHORIZATION", ""), self._token)
        ):
            return None
        path, query = request["PATH_INFO"], request.get("QUERY_STRING", "")
        if method == "POST":
            by_keys = None if query else _BY_KEYS.fullmatch(path)
            return self._rows(request, by_keys[1]) if by_keys else None
        if path.startswith(_BY_ID) and path != _BY_ID and not query:
            # WSGI carries the bytes of the path as Latin-1.
            user_id = path[len(_BY_ID) :].encode("latin-1").decode()
            lookup = LookupRequest((user_id,), None, ())
            return self._row(online.BY_ID, self._stores.directory.default(), lookup)
        if by_keys := _BY_KEYS.fullmatch(path):
            group = self._stores.directory.named(by_keys[1])
            return self._row(online.BY_KEYS, group, read_query(group, query.encode("latin-1")))
        return None

    def _rows(self, request: Environ, name: str) -> FastAnswer | None:
        if request.get("CONTENT_TYPE") != "application/json":
            return None
        # What orjson refuses, and Flask's reader would not, Flask answers.
        body = orjson.loads(self._bodies.take(request))
        if not isinstance(body, dict):
            return None
        group = self._stores.directory.named(name)
        answer, headers = find_rows(self._stores, self._metrics, group, read_batch(group, body))
        return "POST", online.BY_KEYS, HTTPStatus.OK, answer, headers

    def _row(self, rule: str, group: FeatureGroup, lookup: LookupRequest) -> FastAnswer:
        try:
            answer, headers = online.find_row(self._stores, self._metrics, group, lookup)
        except LookupMiss as miss:
            error = errors.translate(miss)
            return "GET", rule, HTTPStatus(error.status), errors.body(error), {}
        return "GET", rule, HTTPStatus.OK, answer, headers
