"""
Responsible for the HTTP side of the feature store: a Flask application that answers lookups.

Opens nothing at import: settings, connections and the clock come in through `create_app`, and a
store is opened when a request first needs it. Even the server's own modules are imported there:
they bring PyArrow and PyIceberg, for which `feature-server --help` need not wait, and which the
process that forks the workers should not have in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializer.config import Settings

if TYPE_CHECKING:
    from flask import Flask, Response

    from serve.stores.stores import Stores


def create_app(
    settings: Settings | None = None, *, stores: Stores | None = None, token: str | None = None
) -> Flask:
    """
    Make the application.

    Args:
        settings: Where the stores are, and the clock; None reads the environment, the token too.
        stores: Stores to use in place of those of *settings*.
        token: What clients must send; None serves everybody.

    Raises:
        UsageError: A setting of the environment cannot be read.
    """
    from flask import Flask

    from serve import auth, errors, log
    from serve.fast_path import FastPath
    from serve.requests import head, query
    from serve.requests.body import Bodies
    from serve.responses import CompactJson
    from serve.routes import metrics
    from serve.stores.stores import Stores

    log.limit_repeats()
    if settings is None and stores is None:
        token = token or auth.read_token()

    app = Flask(__name__, static_folder=None)
    # OPTIONS has nothing to report.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.json = CompactJson(app)
    stores = stores or Stores(settings or Settings.from_env())
    app.extensions["stores"] = stores
    Bodies().init_app(app)
    metrics.init_app(app, stores)
    query.init_app(app)
    head.init_app(app)
    errors.init_app(app)
    auth.init_app(app, token)
    app.after_request(_uncached)
    _register_routes(app)
    app.wsgi_app = FastPath(app, stores, token)  # type: ignore[method-assign]
    return app


def _register_routes(app: Flask) -> None:
    from serve.routes import (
        batch,
        feature_groups,
        feature_views,
        health,
        metrics,
        offline,
        online,
        openapi,
        vectors,
    )

    lookups = (online, offline, batch, vectors)
    for room in (*lookups, feature_groups, feature_views, health, metrics, openapi):
        app.register_blueprint(room.blueprint)


def _uncached(response: Response) -> Response:
    # An answer is true at its time only, and a miss may be a hit after the next push.
    response.headers["Cache-Control"] = "no-store"
    return response
