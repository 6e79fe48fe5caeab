"""
Responsible for `GET /features/online/<id>` and `GET /feature-groups/<group>/online`: newest rows.

Does not look into the past: `as_of` belongs to the offline routes, and is an error here rather than
ignored.
"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from materializer.errors import LookupMiss, NotMaterialized, StoreUnavailable, UnknownEntity
from materializer.registry import FeatureGroup
from materializer.registry.validity import require_row
from serve.errors import ApiError, translate
from serve.openapi import schemas
from serve.openapi.operations import described, online_groups, short_online_groups
from serve.requests.query import LookupRequest, read_id, read_query
from serve.responses import Answer, as_time, lookup_answer
from serve.routes.metrics import Metrics, metrics_of
from serve.stores.stores import Stores, current_stores

# The rules of the routes.
BY_ID = "/features/online/<id:user_id>"
BY_KEYS = "/feature-groups/<group>/online"

blueprint = Blueprint("online", __name__)


@blueprint.get(BY_ID)
@described(
    partial(schemas.lookup, source="online", by_id=True),
    for_each=short_online_groups,
    raises=("bad_request", "unknown_group", LookupMiss, StoreUnavailable),
)
def lookup(user_id: str) -> ResponseReturnValue:
    """Answer the newest row of one entity."""
    lookup = read_id(request, user_id)
    stores = current_stores()
    return find_row(stores, metrics_of(current_app), stores.directory.default(), lookup)


@blueprint.get(BY_KEYS)
@described(
    partial(schemas.lookup, source="online"),
    for_each=online_groups,
    raises=("bad_request", "unknown_group", LookupMiss, StoreUnavailable),
)
def lookup_in_group(group: str) -> ResponseReturnValue:
    """Answer the newest row of one entity of any group, by its key columns."""
    stores = current_stores()
    known = stores.directory.named(group)
    lookup = read_query(known, request.query_string)
    return find_row(stores, metrics_of(current_app), known, lookup)


def find_row(
    stores: Stores, metrics: Metrics, group: FeatureGroup, lookup: LookupRequest
) -> Answer:
    """
    Return the newest row of one entity; a miss is counted.

    Raises:
        ApiError: `bad_request`, `not_materialized`, `store_unavailable`.
        UnknownEntity: There is no such key.
        Expired, NotYetAvailable: There is, and its row does not hold, or not yet.
        StoreUnavailable: The store cannot be reached, or the group was never pushed.
    """
    if lookup.as_of:
        raise ApiError(
            "bad_request",
            f"online lookups answer for now; for as_of use /feature-groups/{group.name}/offline",
        )
    row = stores.online.row(group, lookup.key)
    now = stores.settings.now()
    if row is None and not stores.online.is_pushed(group):
        require_online(group)
        raise NotMaterialized(group.name)
    try:
        if row is None:
            raise UnknownEntity(group.name, lookup.key)
        available_at = as_time(row.values[group.available_at])
        require_row(group, lookup.key, available_at, now, row.built_since)
    except LookupMiss as miss:
        metrics.missed(group.name, "online", [translate(miss).code])
        raise
    return lookup_answer(
        group, lookup.key, row.values, as_of=now, source="online", features=lookup.features
    )


def require_online(group: FeatureGroup) -> None:
    """Raise `bad_request` for a group that is never pushed."""
    if not group.online:
        raise ApiError(
            "bad_request",
            f"{group.name} is kept offline only (online: false); "
            f"use /feature-groups/{group.name}/offline",
        )
