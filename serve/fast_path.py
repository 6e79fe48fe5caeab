"""
The short way to the answers that are asked for most: the newest rows of one entity, and of many.

Owns the question whether a request is a plain one for such rows; then it is answered without Flask,
whose machinery takes several times as long as the lookup. Refuses everything else: a wrong token,
an odd path or header, and whatever goes wrong is left to Flask, which starts anew as if nothing had
been tried. So there is one meaning, that of the routes: only that a row is there, or is not, is
said here too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import orjson
from flask import Flask

from materializer.errors import UnknownEntity
from materializer.registry import FeatureGroup
from serve import errors
from serve.auth import carries
from serve.requests.batch import MOST_BYTES, read_batch
from serve.requests.query import read_query
from serve.responses import Compact
from serve.routes import batch, metrics, online
from serve.stores.stores import Stores

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

Environ: TypeAlias = "dict[str, Any]"
# Method and rule of the route, the status, the answer, and the headers that only it has.
Told: TypeAlias = "tuple[str, str, HTTPStatus, dict[str, Any], dict[str, str]]"

_BY_ID = online.BY_ID.split("<", 1)[0]
_BY_KEYS = re.compile(re.escape(online.BY_KEYS).replace("<group>", "([A-Za-z0-9_.-]+)"))
# Flask refuses hosts that no name server could know.
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*|\[[0-9A-Fa-f:]+\])(:[0-9]+)?")


class Shortcut:
    """
    A WSGI application in front of Flask's.

    Args:
        app: The application whose answers these are.
        stores: Its stores.
        token: What clients must send; None lets everybody ask.

    Attributes:
        flask: The application that answers the rest, and would answer all.
    """

    def __init__(self, app: Flask, stores: Stores, token: str | None) -> None:
        self.flask: WSGIApplication = app.wsgi_app
        self._json = cast("Compact", app.json)
        self._metrics = metrics.of(app)
        self._stores = stores
        self._token = token

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, given as WSGI gives it."""
        started = metrics.begin(environ)
        try:
            told = self._answer(environ)
        except Exception:  # noqa: BLE001 - Flask meets it again, and says what it is
            told = None
        if told is None:
            return self.flask(environ, start_response)
        method, rule, status, answer, headers = told
        body = self._json.write(answer) + b"\n"
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

    def _answer(self, request: Environ) -> Told | None:
        """Answer a plain request for rows; None leaves it to Flask."""
        method = request["REQUEST_METHOD"]
        if (
            method not in ("GET", "POST")
            or "HTTP_UPGRADE" in request
            or not _HOST.fullmatch(request["HTTP_HOST"])
            or not carries(request.get("HTTP_AUTHORIZATION", ""), self._token)
        ):
            return None
        path, query = request["PATH_INFO"], request.get("QUERY_STRING", "")
        if method == "POST":
            of_group = None if query else _BY_KEYS.fullmatch(path)
            return self._rows(request, of_group[1]) if of_group else None
        if path.startswith(_BY_ID) and path != _BY_ID and not query:
            # WSGI carries the bytes of the path as Latin-1.
            user_id = path[len(_BY_ID) :].encode("latin-1").decode()
            return self._row(online.BY_ID, self._stores.directory.default(), (user_id,))
        if of_group := _BY_KEYS.fullmatch(path):
            group = self._stores.directory.named(of_group[1])
            asked = read_query(group, query.encode("latin-1"))
            if not asked.as_of:
                return self._row(online.BY_KEYS, group, asked.key, asked.features)
        return None

    def _rows(self, request: Environ, name: str) -> Told | None:
        body = _take_body(request)
        # What it refuses, and Flask's would not, Flask answers.
        asked = orjson.loads(body) if body else None
        if not isinstance(asked, dict):
            return None
        group = self._stores.directory.named(name)
        wanted = read_batch(group, asked, timed=False)
        answer, headers = batch.find(self._stores, self._metrics, group, wanted)
        return "POST", online.BY_KEYS, HTTPStatus.OK, answer, headers

    def _row(
        self,
        rule: str,
        group: FeatureGroup,
        key: tuple[str, ...],
        features: tuple[str, ...] | None = None,
    ) -> Told:
        try:
            return "GET", rule, HTTPStatus.OK, *online.find(self._stores, group, key, features)
        except UnknownEntity as miss:
            error = errors.translate(miss)
            self._metrics.missed(group.name, "online", error.code)
            return "GET", rule, HTTPStatus(error.status), errors.body(error), {}


def _take_body(request: Environ) -> bytes | None:
    """Read a JSON body that says how long it is, and put it back, for Flask may have to read it."""
    length = request.get("CONTENT_LENGTH", "")
    if (
        request.get("CONTENT_TYPE") != "application/json"
        or "HTTP_TRANSFER_ENCODING" in request
        or not (length.isdecimal() and int(length) <= MOST_BYTES)
    ):
        return None
    body: bytes = request["wsgi.input"].read(int(length))
    request["wsgi.input"] = BytesIO(body)
    return body if len(body) == int(length) else None
