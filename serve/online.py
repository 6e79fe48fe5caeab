"""
`GET /features/online/<id>`: the newest row of one entity, from Redis.

Owns the route and the meaning of a miss. Refuses to look into the past: `as_of` belongs to the
offline route, and is an error here rather than ignored.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from materializer.errors import NotMaterialized, UnknownEntity
from serve import stores
from serve.answers import as_time, is_expired, lookup_answer
from serve.errors import ApiError
from serve.ids import check_id

blueprint = Blueprint("online", __name__)


@blueprint.get("/features/online/<id:user_id>")
def lookup(user_id: str) -> dict[str, Any]:
    """
    Answer the newest row of one entity.

    Raises:
        ApiError: `bad_request`, `not_materialized`, `unknown_group`, `store_unavailable`.
        UnknownEntity: There is no such key, or its row is past its `ttl_days`.
        StoreUnavailable: A store cannot be reached, or was never filled.
    """
    check_id(user_id)
    if "as_of" in request.args:
        raise ApiError(
            "bad_request", "online lookups answer for now; for as_of use /features/offline/<id>"
        )
    here = stores.current()
    group = here.directory.default()
    row = here.online.row(group, (user_id,))
    now = here.settings.now()
    if row is None and not here.online.holds(group.name):
        raise NotMaterialized(group.name)
    if row is None or is_expired(group, as_time(row[group.available_at]), now):
        raise UnknownEntity(group.name, (user_id,))
    return lookup_answer(group, (user_id,), row, as_of=now, source="online")
