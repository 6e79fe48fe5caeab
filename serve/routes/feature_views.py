"""
`GET /feature-views` and `GET /feature-views/<view>`: what each view makes, and of which versions.

Owns how a view is written for machines. It reads what was published with the data, never the
project.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from flask import Blueprint

from materializer.config import format_time
from materializer.errors import StoreUnavailable
from materializer.registry import ViewVersion
from materializer.views.vector import outputs
from materializer.views.versions import PublishedVersion
from serve.errors import ApiError, quoted
from serve.openapi import view_schemas
from serve.openapi.operations import described
from serve.responses import as_time
from serve.stores.stores import current_stores

blueprint = Blueprint("views", __name__)


@blueprint.get("/feature-views")
@described(view_schemas.every, raises=(StoreUnavailable,))
def every() -> dict[str, Any]:
    """
    Answer every published view, by name.

    Raises:
        ApiError: A code named above.
        StoreUnavailable: The offline store cannot be read.
    """
    published = current_stores().offline.views()
    return {
        "feature_views": [
            _entry(list(some)) for _, some in groupby(published, key=lambda one: one.view)
        ]
    }


@blueprint.get("/feature-views/<view>")
@described(view_schemas.one, raises=("unknown_view", StoreUnavailable))
def one(view: str) -> dict[str, Any]:
    """
    Answer one published view.

    Raises:
        ApiError: A code named above.
        StoreUnavailable: The offline store cannot be read.
    """
    published = current_stores().offline.views()
    some = [one for one in published if one.view == view]
    if not some:
        known = ", ".join(sorted({one.view for one in published})) or "nothing"
        raise ApiError(
            "unknown_view", f"no feature view {quoted(view)} was published; published: {known}"
        )
    return _entry(some)


def _entry(published: Sequence[PublishedVersion]) -> dict[str, Any]:
    newest = published[-1]
    version = ViewVersion.from_text(newest.document)
    return {
        **json.loads(newest.document),
        "columns": [{"name": column.name, "type": column.type} for column in outputs(version)],
        "version": newest.version,
        "versions": [
            {
                "version": one.version,
                "fitted_at": format_time(as_time(one.fitted_at)),
                "training_tag": one.training_tag,
            }
            for one in published
        ],
    }
