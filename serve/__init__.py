"""
The HTTP side of the feature store: a Flask application that answers lookups.

Owns the application factory. Refuses everything at import: settings, connections and the clock come
in through `create_app`, and a store is opened when a request first needs it. Even its own modules
are imported there: they bring PyArrow and PyIceberg, for which `feature-server --help` need not
wait, and which the process that forks the workers should not have in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializer.config import Settings

if TYPE_CHECKING:
    from flask import Flask, Response

    from serve.stores import Stores


def create_app(
    settings: Settings | None = None, *, stores: Stores | None = None, token: str | None = None
) -> Flask:
    """
    Make the application.

    Args:
        settings: Where the stores are, and the clock; None reads the environment, the token too.
        stores: Stores to use in place of those of *settings*.
        token: What clients must send; None lets everybody ask.

    Raises:
        UsageError: A setting of the environment cannot be read.
    """
    from flask import Flask

    from serve import (
        batch,
        bodies,
        errors,
        health,
        ids,
        listing,
        metrics,
        offline,
        online,
        openapi,
        vector,
        views,
    )
    from serve import token as tokens
    from serve.compact import Compact
    from serve.shortcut import Shortcut
    from serve.stores import Stores

    if settings is None and stores is None:
        token = token or tokens.read_token()

    app = Flask(__name__, static_folder=None)
    # An answer's order is part of its meaning, and OPTIONS has nothing to say.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = bodies.MOST_BYTES
    app.json = Compact(app)
    here = stores or Stores(settings or Settings.from_env())
    app.extensions["stores"] = here
    metrics.init_app(app, here)
    ids.init_app(app)
    errors.init_app(app)
    tokens.init_app(app, token)
    app.after_request(_uncached)
    for module in (online, offline, batch, vector, listing, views, health, metrics, openapi):
        app.register_blueprint(module.blueprint)
    app.wsgi_app = Shortcut(app, here, token)  # type: ignore[method-assign]
    return app


def _uncached(response: Response) -> Response:
    # An answer is true at its time only, and a miss may be a hit after the next push.
    response.headers["Cache-Control"] = "no-store"
    return response
