"""
Responsible for `POST /feature-groups/<group>/online` and `.../offline`: many rows in one answer.

An answer has names once, then lists of one length, in the order of the request. Does not leave a
row out: one that is missing is there, with the code that a single lookup has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from materializer.config import format_time
from materializer.errors import LookupMiss, NotMaterialized, StoreUnavailable, UnknownEntity
from materializer.registry import Contract, FeatureGroup
from materializer.registry.values import json_value
from serve.errors import MISSES, translate
from serve.openapi import schemas
from serve.openapi.operations import all_groups, described, online_groups
from serve.requests.as_of import TIME_CODES
from serve.requests.batch import BatchRequest, read_batch, read_body
from serve.requests.body import BODY_CODES
from serve.responses import Answer, Freshness, with_deprecation
from serve.routes.metrics import Metrics, metrics_of
from serve.routes.online import BY_KEYS, require_online
from serve.stores.stores import Stores, current_stores

# A row of the answer: the values of the requested features, since when they are true, whether the
# row is stale, and the code of why there is none.
_Row: TypeAlias = "tuple[Sequence[Any], str | None, bool | None, str | None]"
_Layout: TypeAlias = "tuple[Contract, int, int, Callable[[Sequence[Any]], Sequence[Any]]]"

blueprint = Blueprint("batch", __name__)


@blueprint.post(BY_KEYS)
@described(
    partial(schemas.batch, source="online"),
    for_each=online_groups,
    raises=(*BODY_CODES, "too_many_rows", "unknown_group", StoreUnavailable),
)
def online(group: str) -> ResponseReturnValue:
    """Answer the newest row of each of many entities, in one round trip to the online store."""
    stores = current_stores()
    known = stores.directory.named(group)
    batch = read_batch(known, read_body(request))
    return find_rows(stores, metrics_of(current_app), known, batch)


def find_rows(stores: Stores, metrics: Metrics, group: FeatureGroup, batch: BatchRequest) -> Answer:
    """
    Return the newest row of each of many entities; misses are counted.

    Raises:
        ApiError: `bad_request`, `not_materialized`, `store_unavailable`.
        StoreUnavailable: The store cannot be reached, or the group was never pushed.
    """
    stored, contracts, meta = stores.online.rows(group, batch.keys)
    now = stores.settings.now()
    if meta is None and not any(stored):
        require_online(group)
        raise NotMaterialized(group.name)
    fresh = Freshness(group, now)
    missing = {kind: _missing(batch, code) for kind, code in MISSES.items()}
    layouts = {
        contract_id: _layout(contract, group, batch.features)
        for contract_id, contract in contracts.items()
    }
    rows: list[_Row] = []
    for row in stored:
        if row is None:
            rows.append(missing[UnknownEntity])
            continue
        contract, time_index, day_index, pick = layouts[row[0]]
        row.append(None)
        days = stores.online.built_since(contract, row[day_index], meta) if contract.closing else 0
        available_at, stale, miss = fresh.read(row[time_index], days)
        rows.append((pick(row), available_at, stale, None) if miss is None else missing[miss])
    answer = {
        "group": group.name,
        "source": "online",
        "as_of": format_time(now),
        **_lists(batch.features, rows),
    }
    metrics.missed(group.name, "online", answer["missing"])
    return with_deprecation(group, answer)


def _layout(contract: Contract, group: FeatureGroup, features: Sequence[str]) -> _Layout:
    """Return where a row of a contract has its time and its day, and what takes its features."""
    columns = (group.available_at, group.partition, *features)
    time_index, day_index, *indexes = _indexes(contract, columns)
    return contract, time_index, day_index, _picker(indexes)


def _indexes(contract: Contract, columns: Sequence[str]) -> list[int]:
    """Return where a row, which begins with an id, has columns; past its end if it lacks one."""
    known = {column.name: index for index, column in enumerate(contract.columns, start=1)}
    return [known.get(name, len(known) + 1) for name in columns]


def _picker(indexes: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return what takes the values at these indexes, one at least, out of a row."""
    first, number = indexes[0], len(indexes)
    # Side by side, as all features mostly are, they are taken in one go.
    if indexes == list(range(first, first + number)):
        return itemgetter(slice(first, first + number))
    return itemgetter(*indexes)


@blueprint.post("/feature-groups/<group>/offline")
@described(
    partial(schemas.batch, source="offline"),
    for_each=all_groups,
    raises=(*BODY_CODES, "too_many_rows", *TIME_CODES, "unknown_group", StoreUnavailable),
)
def offline(group: str) -> ResponseReturnValue:
    """Answer, for each of many entities and times, the row that was available then."""
    stores = current_stores()
    known = stores.directory.named(group)
    batch = read_batch(known, read_body(request), now=stores.settings.now())
    lookups = list(zip(batch.keys, batch.times, strict=True))
    fresh = {time: Freshness(known, time) for time in batch.times}
    rows: list[_Row] = []
    for row, (_, time) in zip(
        stores.offline.lookup_many(known.name, lookups), lookups, strict=True
    ):
        if isinstance(row, LookupMiss):
            rows.append(_missing(batch, translate(row).code))
            continue
        available_at, stale, _ = fresh[time].read(row[known.available_at])
        values = [json_value(row.get(name)) for name in batch.features]
        rows.append((values, available_at, stale, None))
    answer = {
        "group": known.name,
        "source": "offline",
        "as_of": [format_time(time) for time in batch.times],
        **_lists(batch.features, rows),
    }
    metrics_of(current_app).missed(known.name, "offline", answer["missing"])
    return with_deprecation(known, answer)


def _missing(batch: BatchRequest, code: str) -> _Row:
    return [None] * len(batch.features), None, None, code


def _lists(features: Sequence[str], rows: Sequence[_Row]) -> dict[str, Any]:
    """Write n rows as lists of length n."""
    values, available_at, stale, missing = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "columns": features,
        "rows": values,
        "available_at": available_at,
        "stale": stale,
        "missing": missing,
    }
