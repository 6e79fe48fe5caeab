"""
`GET /features/offline/<id>` and `GET /feature-groups/<group>/offline`: a row as known at a time.

Owns the routes. Refuses to answer without a time: which one is never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from materializer.errors import LookupMiss, StoreUnavailable
from materializer.registry import FeatureGroup
from serve.openapi import schemas
from serve.openapi.operations import Operation, described_for_each, every_group, short_groups
from serve.requests.as_of import TIME_CODES, read_as_of
from serve.requests.query import check_id, read_query
from serve.responses import lookup_answer, of_group
from serve.routes import metrics
from serve.stores.stores import current_stores

blueprint = Blueprint("offline", __name__)


def _by_path(group: FeatureGroup) -> Operation:
    parameters = (schemas.path_key(group), *schemas.query_time(group))
    return schemas.of_group(group, schemas.lookup(group, "offline"), parameters=parameters)


def _by_query(group: FeatureGroup) -> Operation:
    parameters = (*schemas.query_key(group), *schemas.query_time(group))
    return schemas.of_group(group, schemas.lookup(group, "offline"), parameters=parameters)


@blueprint.get("/features/offline/<id:user_id>")
@described_for_each(
    short_groups,
    _by_path,
    raises=("bad_request", *TIME_CODES, "unknown_group", LookupMiss, StoreUnavailable),
)
def lookup(user_id: str) -> ResponseReturnValue:
    """
    Answer the newest row of one entity that was available at `as_of`.

    Raises:
        ApiError: A code named above.
        LookupMiss: There is no such row.
        StoreUnavailable: The store cannot be reached, or was never filled.
    """
    check_id(user_id)
    stores = current_stores()
    as_of = read_as_of(request.args.getlist("as_of"), now=stores.settings.now())
    return answer(stores.directory.default(), (user_id,), as_of)


@blueprint.get("/feature-groups/<group>/offline")
@described_for_each(
    every_group,
    _by_query,
    raises=("bad_request", *TIME_CODES, "unknown_group", LookupMiss, StoreUnavailable),
)
def lookup_in_group(group: str) -> ResponseReturnValue:
    """
    Answer the row of one entity of any group that was available at `as_of`, by its key columns.

    Raises:
        ApiError: A code named above.
        LookupMiss: There is no such row.
        StoreUnavailable: The store cannot be reached, or was never filled.
    """
    stores = current_stores()
    known = stores.directory.named(group)
    query = read_query(known, request.query_string)
    as_of = read_as_of(query.as_of, now=stores.settings.now())
    return answer(known, query.key, as_of, query.features)


def answer(
    group: FeatureGroup,
    key: Sequence[str],
    as_of: datetime,
    features: Sequence[str] | None = None,
) -> ResponseReturnValue:
    """
    Look one entity up.

    Args:
        group: The group.
        key: The values of its key columns, in key order.
        as_of: The time [aware].
        features: The features to tell; None tells all.

    Raises:
        ApiError: `store_unavailable`.
        LookupMiss: There is no such row.
        StoreUnavailable: The store cannot be reached, or was never filled.
    """
    try:
        row = current_stores().offline.lookup(group.name, key, as_of)
    except LookupMiss as miss:
        metrics.missed(group.name, "offline", miss)
        raise
    # What online answers too. Just after a publish the row may be of a newer contract.
    names = [column.name for column in group.contract.columns if column.name in row]
    shown = {name: row[name] for name in names}
    told = lookup_answer(group, key, shown, as_of=as_of, source="offline", features=features)
    return of_group(group, told)
