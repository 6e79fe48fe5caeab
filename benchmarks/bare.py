"""
The least that a server of lookups can do, to measure the others against.

It answers stored bytes as they are: of the one entity that a path ends with, or, with one MGET, of
the keys that a body names. No framework, no contract, no transform, no error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

from materializer.config import Settings
from materializer.online.connection import connect

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def application() -> Application:
    """Make the WSGI application, on the online store of the environment."""
    client = connect(Settings.from_env())

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        if environ["REQUEST_METHOD"] == "GET":
            entity = environ["PATH_INFO"].rpartition("/")[2]
            return [cast("bytes | None", client.get(f"features:{entity}")) or b"null"]
        body = environ["wsgi.input"].read()
        found = cast("list[bytes | None]", client.mget(json.loads(body))) if body else []
        return [b"[" + b",".join(one or b"null" for one in found) + b"]"]

    return answer
