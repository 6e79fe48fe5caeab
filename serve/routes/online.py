"""
`GET /features/online/<id>` and `GET /feature-groups/<group>/online`: the newest row of one entity.

Owns the routes and the meaning of a miss. Refuses to look into the past: `as_of` belongs to the
offline routes, and is an error here rather than ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from materializer.errors import NotMaterialized, StoreUnavailable, UnknownEntity
from materializer.registry import FeatureGroup
from serve.errors import ApiError
from serve.openapi import schemas
from serve.openapi.operations import (
    Operation,
    described_for_each,
    online_groups,
    short_online_groups,
)
from serve.requests.query import check_id, read_query
from serve.responses import as_time, is_expired, lookup_answer, of_group
from serve.routes import metrics
from serve.stores.stores import Stores, current_stores

# The rules of the routes.
BY_ID = "/features/online/<id:user_id>"
BY_KEYS = "/feature-groups/<group>/online"

blueprint = Blueprint("online", __name__)


def _by_path(group: FeatureGroup) -> Operation:
    return schemas.of_group(
        group, schemas.lookup(group, "online"), parameters=(schemas.path_key(group),)
    )


def _by_query(group: FeatureGroup) -> Operation:
    return schemas.of_group(
        group, schemas.lookup(group, "online"), parameters=schemas.query_key(group)
    )


@blueprint.get(BY_ID)
@described_for_each(
    short_online_groups,
    _by_path,
    raises=("bad_request", "unknown_group", UnknownEntity, StoreUnavailable),
)
def lookup(user_id: str) -> ResponseReturnValue:
    """
    Answer the newest row of one entity.

    Raises:
        ApiError: A code named above.
        UnknownEntity: There is no such key, or its row is past its `ttl_days`.
        StoreUnavailable: A store cannot be reached, or was never filled.
    """
    check_id(user_id)
    if "as_of" in request.args:
        raise ApiError(
            "bad_request", "online lookups answer for now; for as_of use /features/offline/<id>"
        )
    return answer(current_stores().directory.default(), (user_id,))


@blueprint.get(BY_KEYS)
@described_for_each(
    online_groups,
    _by_query,
    raises=("bad_request", "unknown_group", UnknownEntity, StoreUnavailable),
)
def lookup_in_group(group: str) -> ResponseReturnValue:
    """
    Answer the newest row of one entity of any group, by its key columns.

    Raises:
        ApiError: A code named above.
        UnknownEntity: There is no such key, or its row is past its `ttl_days`.
        StoreUnavailable: A store cannot be reached, or was never filled.
    """
    known = current_stores().directory.named(group)
    query = read_query(known, request.query_string)
    if query.as_of:
        raise ApiError(
            "bad_request",
            f"online lookups answer for now; for as_of use /feature-groups/{known.name}/offline",
        )
    return answer(known, query.key, query.features)


def answer(
    group: FeatureGroup, key: Sequence[str], features: Sequence[str] | None = None
) -> ResponseReturnValue:
    """
    Look one entity up.

    Args:
        group: The group.
        key: The values of its key columns, in key order.
        features: The features to tell; None tells all.

    Raises:
        ApiError: `bad_request`, `not_materialized`, `store_unavailable`.
        UnknownEntity: There is no such key, or its row is past its `ttl_days`.
        StoreUnavailable: The store cannot be reached, or the group was never pushed.
    """
    try:
        return find(current_stores(), group, key, features)
    except UnknownEntity as miss:
        metrics.missed(group.name, "online", miss)
        raise


def find(
    stores: Stores,
    group: FeatureGroup,
    key: Sequence[str],
    features: Sequence[str] | None = None,
) -> tuple[dict[str, Any], dict[str, str]]:
    """
    Look one entity up, as `answer` does, and count nothing.

    Returns:
        The answer, and the headers that it has.
    """
    row = stores.online.row(group, key)
    now = stores.settings.now()
    if row is None and not stores.online.holds(group.name):
        require_online(group)
        raise NotMaterialized(group.name)
    if row is None or is_expired(group, as_time(row[group.available_at]), now):
        raise UnknownEntity(group.name, key)
    told = lookup_answer(group, key, row, as_of=now, source="online", features=features)
    return of_group(group, told)


def require_online(group: FeatureGroup) -> None:
    """
    Refuse a group that is never pushed.

    Raises:
        ApiError: `bad_request`.
    """
    if not group.online:
        raise ApiError(
            "bad_request",
            f"{group.name} is kept offline only (online: false); "
            f"ask /feature-groups/{group.name}/offline",
        )
