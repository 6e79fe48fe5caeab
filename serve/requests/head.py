"""
Responsible for refusing a request whose head has two meanings: servers on its way may read another.

Does not judge what a client may ask for.
"""

from __future__ import annotations

import re

from flask import Flask, request

from serve.errors import ApiError

# Hosts that a name server could know, and addresses; Flask refuses most others.
HOST = re.compile(r"([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*|\[[0-9A-Fa-f:]+\])(:[0-9]+)?")


def init_app(app: Flask) -> None:
    """Check the head of every request of *app*."""
    app.before_request(_check)


def _check() -> None:
    # A server joins the values of a header that is sent twice by commas. RFC 9112, section 3.2.
    host = request.environ.get("HTTP_HOST", "")
    if "," in host or (not host and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1"):
        raise ApiError("bad_request", "send one Host header")
