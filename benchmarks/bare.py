"""
The least that a server of lookups can do, to measure the others against.

It reads the keys that a body names with one MGET, and answers their bytes as they are: no
framework, no contract, no transform, no error.
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
        body = environ["wsgi.input"].read()
        found = cast("list[bytes | None]", client.mget(json.loads(body))) if body else []
        start("200 OK", [("Content-Type", "application/json")])
        return [b"[" + b",".join(one or b"null" for one in found) + b"]"]

    return answer
