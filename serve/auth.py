"""
Responsible for the one bearer token of `FEATURE_SERVER_TOKEN`: how it is read and compared.

Does not let a request through without it, except to `/health`; and never shows it: no message, log
or answer holds it.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from materializer.errors import UsageError

if TYPE_CHECKING:
    from flask import Flask

# RFC 6750, section 2.1: what a bearer token may be.
_FORM = re.compile(r"[A-Za-z0-9\-._~+/]+=*")

OPEN = {"/health"}
REFUSAL = "unauthorized"
_NEEDED = "needs_token"


def read_token(environ: Mapping[str, str] | None = None) -> str | None:
    """
    Return the token that clients must send, or None when none is set.

    Raises:
        UsageError: It is empty, or holds what a header cannot carry.
    """
    env = os.environ if environ is None else environ
    token = env.get("FEATURE_SERVER_TOKEN")
    if token is not None and not _FORM.fullmatch(token):
        raise UsageError(
            "FEATURE_SERVER_TOKEN is set, but is not a token: write letters, digits and -._~+/, "
            "with = at the end only; or unset it, to serve everybody on loopback"
        )
    return token


def init_app(app: Flask, token: str | None) -> None:
    """Let only requests through that carry *token*; with None, all."""
    # Not above: the process that forks the workers reads the token, and should not have Flask.
    from flask import request

    from serve.errors import ApiError

    app.extensions[_NEEDED] = token is not None
    if token is None:
        return

    def check() -> None:
        if request.url_rule is not None and request.url_rule.rule in OPEN:
            return
        if not has_token(request.headers.get("Authorization", ""), token):
            raise ApiError(REFUSAL, "send the header Authorization: Bearer <token>")

    app.before_request(check)


def has_token(header: str, token: str | None) -> bool:
    """Return whether an `Authorization` header carries the token, if one is needed."""
    if token is None:
        return True
    scheme, _, sent = header.partition(" ")
    # Bytes: compare_digest takes no text beyond ASCII, and a header may hold it.
    same = hmac.compare_digest(sent.strip(" ").encode("utf-8", "surrogateescape"), token.encode())
    return scheme.lower() == "bearer" and same


def needs_token(app: Flask) -> bool:
    """Return whether *app* serves only requests that carry a token."""
    return bool(app.extensions[_NEEDED])
