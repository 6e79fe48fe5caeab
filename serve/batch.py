"""
`POST /feature-groups/<group>/online` and `.../offline`: many rows in one answer.

Owns the shape of a batch's answer: names once, then lists of one length, in the order asked.
Refuses to leave a row out: one that is missing is there, and says why by the code that a single
lookup has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from materializer.config import format_time
from materializer.errors import LookupMiss, NotMaterialized, StoreUnavailable, UnknownEntity
from materializer.registry import FeatureGroup
from serve import metrics, schemas, stores
from serve.answers import as_time, is_expired, is_stale, of_group, value_as_json
from serve.bodies import read_batch, read_times
from serve.errors import codes_of
from serve.groups import every_group, online_groups
from serve.online import require_online
from serve.operations import Operation, described_for_each
from serve.times import TIME_CODES

Found: TypeAlias = "Mapping[str, Any] | LookupMiss"

blueprint = Blueprint("batch", __name__)


def _online(group: FeatureGroup) -> Operation:
    answer = schemas.batch(group, "online", codes_of(UnknownEntity))
    return schemas.of_group(group, answer, body=schemas.batch_body(group, timed=False))


def _offline(group: FeatureGroup) -> Operation:
    answer = schemas.batch(group, "offline", codes_of(LookupMiss))
    return schemas.of_group(group, answer, body=schemas.batch_body(group, timed=True))


@blueprint.post("/feature-groups/<group>/online")
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
    here = stores.current()
    known = here.directory.named(group)
    batch = read_batch(known, request, timed=False)
    rows, pushed = here.online.rows(known, batch.keys)
    now = here.settings.now()
    if not pushed and not any(rows):
        require_online(known)
        raise NotMaterialized(known.name)
    found: list[Found] = []
    for key, row in zip(batch.keys, rows, strict=True):
        gone = row is None or is_expired(known, as_time(row[known.available_at]), now)
        found.append(UnknownEntity(known.name, key) if row is None or gone else row)
    answer = {
        "group": known.name,
        "source": "online",
        "as_of": format_time(now),
        **_lists(known, "online", batch.features, found, [now] * len(found)),
    }
    return of_group(known, answer)


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
    here = stores.current()
    known = here.directory.named(group)
    batch = read_batch(known, request, timed=True)
    times = read_times(batch, now=here.settings.now())
    found = here.offline.lookup_many(known.name, list(zip(batch.keys, times, strict=True)))
    answer = {
        "group": known.name,
        "source": "offline",
        "as_of": [format_time(moment) for moment in times],
        **_lists(known, "offline", batch.features, found, times),
    }
    return of_group(known, answer)


def _lists(
    group: FeatureGroup,
    source: Literal["online", "offline"],
    features: Sequence[str],
    found: Sequence[Found],
    times: Sequence[datetime],
) -> dict[str, Any]:
    """
    Write n rows as lists of length n.

    Args:
        group: The group they are of.
        source: The store they came from.
        features: The features to tell, c of them; one that a row of an older contract lacks is
            null.
        found: n rows, or why there is none.
        times: n times the answer is true for [aware].
    """
    nothing = [None] * len(features)
    rows: list[list[Any]] = []
    available: list[str | None] = []
    stale: list[bool | None] = []
    missing: list[str | None] = []
    for row, as_of in zip(found, times, strict=True):
        if isinstance(row, LookupMiss):
            rows.append(nothing)
            available.append(None)
            stale.append(None)
            missing.append(metrics.missed(group.name, source, row))
            continue
        available_at = as_time(row[group.available_at])
        values = [row.get(name) for name in features]
        # Online they are JSON's already.
        rows.append(values if source == "online" else [value_as_json(one) for one in values])
        available.append(format_time(available_at))
        stale.append(is_stale(group, available_at, as_of))
        missing.append(None)
    return {
        "columns": list(features),
        "rows": rows,
        "available_at": available,
        "stale": stale,
        "missing": missing,
    }
