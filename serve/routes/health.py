"""
Responsible for `GET /health` and `GET /ready`: is the process up, and can it answer lookups.

`/health` does not depend on a store: a process is not restarted because Redis is away.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint

from materializer.errors import NotMaterialized, StoreUnavailable
from serve.errors import ApiError, translate
from serve.openapi.operations import Operation, described
from serve.openapi.schemas import object_of
from serve.stores.directory import Groups, nothing_published
from serve.stores.stores import current_stores

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@described(lambda: Operation(object_of({"status": {"const": "ok"}})))
def health() -> dict[str, str]:
    """Answer that the process is up."""
    return {"status": "ok"}


@blueprint.get("/ready")
@described(
    lambda: Operation(object_of({"status": {"const": "ready"}})),
    raises=(StoreUnavailable,),
)
def ready() -> dict[str, str]:
    """
    Answer whether both stores can be reached and hold something to answer from.

    One online group that was pushed is enough: a group that is new, and whose first push is still
    to come, must not take the others away from their callers.
    """
    stores = current_stores()
    groups: Groups = {}
    problems: dict[str, ApiError] = {}
    try:
        groups = stores.directory.refresh()
        if not groups:
            raise nothing_published()
    except (ApiError, StoreUnavailable) as error:
        problems["offline"] = translate(error)
    online = [group for group in groups.values() if group.online]
    try:
        if not online:
            stores.online.answers()
        elif not stores.online.is_pushed(*online):
            raise NotMaterialized(online[0].name)
    except (ApiError, StoreUnavailable) as error:
        problems["online"] = translate(error)
    if problems:
        raise _not_ready(problems)
    return {"status": "ready"}


def _not_ready(problems: Mapping[str, ApiError]) -> ApiError:
    codes = {problem.code for problem in problems.values()}
    return ApiError(
        "store_unavailable" if "store_unavailable" in codes else "not_materialized",
        "; ".join(f"{store}: {problem}" for store, problem in problems.items()),
    )
