"""
`POST /feature-views/<view>/vector`: what a model is given for its keys, now or at an earlier time.

Owns how rows and values of the request become vectors, what a missing row means, and the answer's
shape. Refuses to mix versions, one answer is made by one; and to put a null where a value is not
known to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, request

from materializer.config import format_time
from materializer.errors import LookupMiss, StoreUnavailable, UnreadableValue
from materializer.registry.view import ERROR
from materializer.views.vector import Part, Vectors, Way
from serve import vector_rows
from serve.errors import ApiError, translate
from serve.openapi import view_schemas
from serve.openapi.operations import described_for_each
from serve.requests.vectors import Asked, read_asked, values_of
from serve.routes import metrics
from serve.stores.stores import current_stores
from serve.vector_rows import Joined, Row, Source

blueprint = Blueprint("vector", __name__)


@blueprint.post("/feature-views/<view>/vector")
@described_for_each(
    view_schemas.published_views,
    view_schemas.vectors,
    raises=(
        *("bad_request", "too_many_rows", "bad_as_of", "as_of_in_future"),
        *("unknown_view", "unknown_group", "version_gone", LookupMiss, StoreUnavailable),
    ),
)
def vector(view: str) -> dict[str, Any]:
    """
    Answer the vectors of one or many keys.

    Raises:
        ApiError: A code named above.
        LookupMiss: A group has no row of the one key, and the view needs it.
        StoreUnavailable: A store cannot be reached, or was never filled.
    """
    stores = current_stores()
    now = stores.settings.now()
    asked = read_asked(request, now=now)
    source: Source = "online" if asked.as_of is None else "offline"
    as_of = asked.as_of or now
    find = vector_rows.online if asked.as_of is None else vector_rows.offline
    vectors, joined = find(stores, view, asked, as_of)
    for one in joined:
        _count_missing(one, source)
    made, missing = _make(vectors, joined, values_of(vectors.version, asked))
    answer = {
        "view": view,
        "version": vectors.version_id,
        "source": source,
        "as_of": format_time(as_of),
        "columns": vectors.names,
        "dtypes": vectors.types,
    }
    if count := sum(one is not None for one in made):
        metrics.made(view, vectors.version_id, source, count)
    return {**answer, **_told(asked, made, missing, joined)}


def _make(
    vectors: Vectors, joined: Sequence[Joined], values: Sequence[Mapping[str, Any]]
) -> tuple[list[list[Any] | None], list[LookupMiss | None]]:
    """
    Make n vectors.

    Returns:
        n vectors, each None where the view needs a row that is missing; and n reasons of that.

    Raises:
        ApiError: `bad_request`: a feature that no group has was not sent; `not_materialized`: the
            rows of a group are older than a column that the version needs.
        UnreadableValue: A stored value is not of its column's type.
    """
    parts = [_parts(vectors, place, one.rows) for place, one in enumerate(joined)]
    needed = [one.join.missing == ERROR for one in joined]
    made: list[list[Any] | None] = []
    missing: list[LookupMiss | None] = []
    for number, given in enumerate(values):
        vector: list[Any] = []
        miss: LookupMiss | None = None
        for way in vectors.ways:
            if way.name in given:
                vector += way.chain(given[way.name])
                continue
            if way.join is None:
                raise _not_sent(way.name)
            part = parts[way.join][number][way.nth]
            if part is None:
                raise _not_there(vectors, way, joined[way.join])
            vector += part
            if needed[way.join]:
                miss = miss or joined[way.join].rows[number].miss
        made.append(vector if miss is None else None)
        missing.append(miss)
    return made, missing


def _parts(vectors: Vectors, place: int, found: Sequence[Row]) -> list[list[Part | None]]:
    """Tell what each of n rows of a group becomes; worked out once for a row asked for often."""
    known: dict[int, list[Part | None]] = {}
    for row in found:
        if id(row) not in known:
            try:
                known[id(row)] = vectors.parts(place, row.values)
            except (TypeError, ValueError) as error:
                raise UnreadableValue(str(error)) from None
    return [known[id(row)] for row in found]


def _not_sent(name: str) -> ApiError:
    return ApiError(
        "bad_request", f"no group has {name}: send it in values, null where it is not known"
    )


def _not_there(vectors: Vectors, way: Way, joined: Joined) -> ApiError:
    return ApiError(
        "not_materialized",
        f"the rows of {joined.join.group} that are there have no column {way.column}, which "
        f"version {vectors.version_id} of {vectors.version.view} needs; "
        "run: materializer push --all",
    )


def _count_missing(joined: Joined, source: Source) -> None:
    for row in joined.rows:
        if row.miss is not None:
            metrics.missed(joined.join.group, source, row.miss)


def _told(
    asked: Asked,
    made: Sequence[list[Any] | None],
    missing: Sequence[LookupMiss | None],
    joined: Sequence[Joined],
) -> dict[str, Any]:
    """
    Write what was made: of many rows lists, of one row values.

    Raises:
        LookupMiss: Of the one row there is no vector.
    """
    groups = {one.join.name: _freshness(one.rows) for one in joined}
    if asked.many:
        return {"vectors": made, "missing": [_code(miss) for miss in missing], "groups": groups}
    if missing[0] is not None:
        raise missing[0]
    of_one = {
        name: {fact: values[0] for fact, values in facts.items()} for name, facts in groups.items()
    }
    return {"vector": made[0], "groups": of_one}


def _freshness(found: Sequence[Row]) -> dict[str, list[Any]]:
    """Tell since when n rows are true and whether they are stale, or why there is none."""
    return {
        "available_at": [row.available_at for row in found],
        "stale": [row.stale for row in found],
        "missing": [_code(row.miss) for row in found],
    }


def _code(miss: LookupMiss | None) -> str | None:
    return None if miss is None else translate(miss).code
