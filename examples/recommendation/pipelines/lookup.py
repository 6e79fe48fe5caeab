"""
One vector of a feature view, requested from the server over HTTP.

Owns the request, and what each refusal means for one who predicts. Refuses an answer of another
version than the one pinned.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from examples.recommendation.pipelines.model_files import Card
from materializer.errors import FeatureStoreError, StoreUnavailable, UsageError

_TIMEOUT_SECONDS = 10

_ADVICE = {
    "version_gone": "train again: python pipelines/training_pipeline.py",
    "unknown_view": "publish and push it: python pipelines/feature_pipeline.py",
    "not_materialized": "publish and push it: python pipelines/feature_pipeline.py",
    "unauthorized": "set FEATURE_SERVER_TOKEN to the server's",
}


class NoServer(StoreUnavailable):
    """No one answers there."""

    def __init__(self, url: str, detail: object) -> None:
        super().__init__(f"no server at {url} ({detail}); start it: feature-server")


class BadAnswer(FeatureStoreError):
    """The server answers, and there is no vector in it that may be used."""


@dataclass(frozen=True, slots=True)
class Vector:
    """
    What a model is given, and what that rests on.

    Attributes:
        columns: The c columns, in order.
        values: c values.
        source: `online` or `offline`.
        as_of: The time it is of [ISO, UTC].
        groups: Of each group since when its row is true, whether it is stale, why there is none.
    """

    columns: tuple[str, ...]
    values: tuple[float, ...]
    source: str
    as_of: str
    groups: Mapping[str, Mapping[str, Any]]


def ask(
    url: str,
    card: Card,
    keys: Mapping[str, str],
    values: Mapping[str, Any],
    as_of: str | None = None,
) -> Vector:
    """
    Ask for one vector, made by the version that a model was trained with.

    Args:
        url: The server.
        card: Of the model; it pins the version.
        keys: The keys of the view.
        values: Features that are known only now.
        as_of: When; None for now.

    Raises:
        UsageError: The address is of no web server.
        NoServer: No one answers there.
        BadAnswer: The server refused, or answered something else.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url {url}: write http://127.0.0.1:8000")
    body = {"keys": keys, "values": values, "version": card.parameter_version}
    answer = _post(
        f"{url.rstrip('/')}/feature-views/{card.view}/vector",
        {**body, **({"as_of": as_of} if as_of else {})},
        url,
    )
    try:
        if answer["version"] != card.parameter_version:
            raise BadAnswer(f"{url} answered version {answer['version']}; it must not choose")
        return Vector(
            columns=tuple(answer["columns"]),
            values=tuple(answer["vector"]),
            source=answer["source"],
            as_of=answer["as_of"],
            groups=answer["groups"],
        )
    except (KeyError, TypeError):
        raise BadAnswer(f"{url} answers, and not as a feature server does") from None


def _post(address: str, body: Mapping[str, Any], url: str) -> Any:
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("FEATURE_SERVER_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    try:
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise _refusal(error, url) from None
    except urllib.error.URLError as error:
        raise NoServer(url, error.reason) from None
    except (OSError, http.client.HTTPException) as error:
        raise NoServer(url, error) from None
    except ValueError:
        raise BadAnswer(f"{url} answers, and not as a feature server does") from None


def _refusal(error: urllib.error.HTTPError, url: str) -> BadAnswer:
    with error:
        text = error.read()
    try:
        body = json.loads(text)["error"]
        code, message = body["code"], body["message"]
    except (ValueError, KeyError, TypeError):
        return BadAnswer(f"{url} answered {error.code}, and not as a feature server does")
    advice = _ADVICE.get(code)
    return BadAnswer(f"{error.code} {code}: {message}{f'; {advice}' if advice else ''}")
