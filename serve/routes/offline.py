"""
Responsible for `GET /features/offline/<id>` and `GET /feature-groups/<group>/offline`: past rows.

Does not answer without a time: which one is never guessed.
"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from materializer.errors import LookupMiss, StoreUnavailable
from materializer.registry import FeatureGroup
from serve.errors import translate
from serve.openapi import schemas
from serve.openapi.operations import all_groups, described, short_groups
from serve.requests.as_of import TIME_CODES, read_query_time
from serve.requests.query import LookupRequest, read_id, read_query
from serve.responses import Answer, lookup_answer
from serve.routes.metrics import metrics_of
from serve.stores.stores import current_stores

blueprint = Blueprint("offline", __name__)


@blueprint.get("/features/offline/<id:user_id>")
@described(
    partial(schemas.lookup, source="offline", by_id=True),
    for_each=short_groups,
    raises=("bad_request", *TIME_CODES, "unknown_group", LookupMiss, StoreUnavailable),
)
def lookup(user_id: str) -> ResponseReturnValue:
    """Answer the newest row of one entity that was available at `as_of`."""
    lookup = read_id(request, user_id)
    return _find_row(current_stores().directory.default(), lookup)


@blueprint.get("/feature-groups/<group>/offline")
@described(
    partial(schemas.lookup, source="offline"),
    for_each=all_groups,
    raises=("bad_request", *TIME_CODES, "unknown_group", LookupMiss, StoreUnavailable),
)
def lookup_in_group(group: str) -> ResponseReturnValue:
    """Answer the row of one entity of any group that was available at `as_of`, by key columns."""
    known = current_stores().directory.named(group)
    return _find_row(known, read_query(known, request.query_string))


def _find_row(group: FeatureGroup, lookup: LookupRequest) -> Answer:
    stores = current_stores()
    as_of = read_query_time(lookup.as_of, now=stores.settings.now())
    try:
        row = stores.offline.lookup(group.name, lookup.key, as_of)
    except LookupMiss as miss:
        metrics_of(current_app).missed(group.name, "offline", [translate(miss).code])
        raise
    # What online answers too. Just after a publish the row may be of a newer contract.
    names = [column.name for column in group.contract.columns if column.name in row]
    values = {name: row[name] for name in names}
    return lookup_answer(
        group, lookup.key, values, as_of=as_of, source="offline", features=lookup.features
    )
