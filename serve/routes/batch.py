"""
`POST /feature-groups/<group>/online` and `.../offline`: many rows in one answer.

Owns the shape of a batch's answer: names once, then lists of one length, in the order asked.
Refuses to leave a row out: one that is missing is there, and says why by the code that a single
lookup has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from materializer.config import format_time
from materializer.errors import LookupMiss, NotMaterialized, StoreUnavailable, UnknownEntity
from materializer.registry import Contract, FeatureGroup
from serve.errors import codes_of, translate
from serve.openapi import schemas
from serve.openapi.operations import Operation, described_for_each, every_group, online_groups
from serve.requests.as_of import TIME_CODES
from serve.requests.batch import Batch, read_batch, read_json, read_times
from serve.responses import Freshness, of_group, value_as_json
from serve.routes import metrics
from serve.routes.online import BY_KEYS, require_online
from serve.stores.stores import Stores, current_stores

# A row: the values of the features asked for, since when they are true, whether it is stale, and
# the code of why there is none.
_Told: TypeAlias = "tuple[Sequence[Any], str | None, bool | None, str | None]"

[_UNKNOWN] = codes_of(UnknownEntity)

blueprint = Blueprint("batch", __name__)


def _online(group: FeatureGroup) -> Operation:
    answer = schemas.batch(group, "online", codes_of(UnknownEntity))
    return schemas.of_group(group, answer, body=schemas.batch_body(group, timed=False))


def _offline(group: FeatureGroup) -> Operation:
    answer = schemas.batch(group, "offline", codes_of(LookupMiss))
    return schemas.of_group(group, answer, body=schemas.batch_body(group, timed=True))


@blueprint.post(BY_KEYS)
@described_for_each(
    online_groups,
    _online,
    raises=("bad_request", "too_many_rows", "unknown_group", StoreUnavailable),
)
def online(group: str) -> ResponseReturnValue:
    """
    Answer the newest row of each of many entities, in one round trip to the online store.

    Raises:
        ApiError: A code named above.
        StoreUnavailable: A store cannot be reached, or was never filled.
    """
    stores = current_stores()
    known = stores.directory.named(group)
    batch = read_batch(known, read_json(request), timed=False)
    return find(stores, metrics.of(current_app), known, batch)


def find(
    stores: Stores, counts: metrics.Metrics, group: FeatureGroup, batch: Batch
) -> tuple[dict[str, Any], dict[str, str]]:
    """
    Look many entities up online, as `online` does.

    Returns:
        The answer, and the headers that it has.
    """
    found, contracts, pushed = stores.online.rows(group, batch.keys)
    now = stores.settings.now()
    if not pushed and not any(found):
        require_online(group)
        raise NotMaterialized(group.name)
    fresh = Freshness(group, now)
    unknown = _missing(batch, _UNKNOWN)
    rows: list[_Told] = []
    last = None
    for row in found:
        if row is None:
            rows.append(unknown)
            continue
        if row[0] != last:  # seldom: one push writes all rows by one contract
            last = row[0]
            at, *wanted = _places(contracts[last], (group.available_at, *batch.features))
            pick = _pick(wanted)
        row.append(None)
        available_at, is_old, is_gone = fresh.of(row[at])
        rows.append(unknown if is_gone else (pick(row), available_at, is_old, None))
    answer = {
        "group": group.name,
        "source": "online",
        "as_of": format_time(now),
        **_lists(batch.features, rows),
    }
    counts.missed_many(group.name, "online", answer["missing"])
    return of_group(group, answer)


def _places(contract: Contract, columns: Sequence[str]) -> list[int]:
    """Tell where a row, which begins with an id, has these columns; one it lacks, past its end."""
    places = {column.name: place for place, column in enumerate(contract.columns, start=1)}
    return [places.get(name, len(places) + 1) for name in columns]


def _pick(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Give what takes these places, one at least, out of a row."""
    first, number = places[0], len(places)
    # Side by side, as all features mostly are, they are taken in one go.
    if places == list(range(first, first + number)):
        return itemgetter(slice(first, first + number))
    return itemgetter(*places)


@blueprint.post("/feature-groups/<group>/offline")
@described_for_each(
    every_group,
    _offline,
    raises=("bad_request", "too_many_rows", *TIME_CODES, "unknown_group", StoreUnavailable),
)
def offline(group: str) -> ResponseReturnValue:
    """
    Answer, for each of many entities and times, the row that was available then.

    Raises:
        ApiError: A code named above.
        StoreUnavailable: The store cannot be reached, or was never filled.
    """
    stores = current_stores()
    known = stores.directory.named(group)
    batch = read_batch(known, read_json(request), timed=True)
    times = read_times(batch, now=stores.settings.now())
    found = stores.offline.lookup_many(known.name, list(zip(batch.keys, times, strict=True)))
    fresh = {moment: Freshness(known, moment) for moment in times}
    rows: list[_Told] = []
    for row, moment in zip(found, times, strict=True):
        if isinstance(row, LookupMiss):
            rows.append(_missing(batch, translate(row).code))
            continue
        available_at, is_old, _ = fresh[moment].of(row[known.available_at])
        values = [value_as_json(row.get(name)) for name in batch.features]
        rows.append((values, available_at, is_old, None))
    answer = {
        "group": known.name,
        "source": "offline",
        "as_of": [format_time(moment) for moment in times],
        **_lists(batch.features, rows),
    }
    metrics.of(current_app).missed_many(known.name, "offline", answer["missing"])
    return of_group(known, answer)


def _missing(batch: Batch, code: str) -> _Told:
    return [None] * len(batch.features), None, None, code


def _lists(features: Sequence[str], rows: Sequence[_Told]) -> dict[str, Any]:
    """
    Write n rows as lists of length n.

    Args:
        features: The features that they tell.
        rows: n rows.
    """
    values, available_at, is_old, missing = zip(*rows, strict=True) if rows else ((), (), (), ())
    return {
        "columns": features,
        "rows": values,
        "available_at": available_at,
        "stale": is_old,
        "missing": missing,
    }
