"""
Responsible for `POST /feature-views/<view>/vector`: what a model is given for its keys.

Does not mix versions, one answer is made by one; and does not put a null where a value is not known
to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, current_app, request

from materializer.config import format_time
from materializer.errors import LookupMiss, StoreUnavailable, UnreadableValue
from materializer.views.definition import ERROR
from materializer.views.vector import FeatureInput, Part, Vectors
from serve.errors import ApiError, translate
from serve.openapi import schemas
from serve.openapi.operations import described
from serve.requests.body import BODY_CODES
from serve.requests.vectors import read_vectors
from serve.responses import Source
from serve.routes.metrics import metrics_of
from serve.stores.stores import current_stores
from serve.vector_rows import JoinedRows, Row, read_offline, read_online

blueprint = Blueprint("vectors", __name__)


@blueprint.post("/feature-views/<view>/vector")
@described(
    schemas.vectors,
    for_each=schemas.published_views,
    raises=(
        *BODY_CODES,
        *("too_many_rows", "bad_as_of", "as_of_in_future"),
        *("unknown_view", "unknown_group", "version_gone", "version_outdated"),
        *(LookupMiss, StoreUnavailable),
    ),
)
def make_vectors(view: str) -> dict[str, Any]:
    """Answer the vectors of one or many keys."""
    stores, metrics = current_stores(), metrics_of(current_app)
    now = stores.settings.now()
    sent = read_vectors(request, now=now)
    source: Source = "online" if sent.as_of is None else "offline"
    read = read_online if sent.as_of is None else read_offline
    as_of = sent.as_of or now
    vectors, joined = read(stores, view, sent, as_of)
    for join in joined:
        metrics.missed(join.join.group, source, [_code(row.miss) for row in join.rows])
    made, missing = _make(vectors, joined, sent.values(vectors.version))
    metrics.made(view, vectors.version_id, source, sum(vector is not None for vector in made))
    answer = {
        "view": view,
        "version": vectors.version_id,
        "source": source,
        "as_of": format_time(as_of),
        "columns": vectors.names,
        "dtypes": vectors.types,
    }
    groups = {join.join.name: _facts(join.rows) for join in joined}
    if sent.many:
        codes = [_code(miss) for miss in missing]
        return {**answer, "vectors": made, "missing": codes, "groups": groups}
    if missing[0] is not None:
        raise missing[0]
    facts_of_one = {
        name: {fact: values[0] for fact, values in facts.items()} for name, facts in groups.items()
    }
    return {**answer, "vector": made[0], "groups": facts_of_one}


def _make(
    vectors: Vectors, joined: Sequence[JoinedRows], values: Sequence[Mapping[str, Any]]
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
    parts = [_parts(vectors, index, join.rows) for index, join in enumerate(joined)]
    needed = [join.join.missing == ERROR for join in joined]
    made: list[list[Any] | None] = []
    missing: list[LookupMiss | None] = []
    for number, sent in enumerate(values):
        vector: list[Any] = []
        miss: LookupMiss | None = None
        for feature in vectors.inputs:
            if feature.name in sent:
                vector += feature.chain(sent[feature.name])
                continue
            if feature.join is None:
                raise ApiError(
                    "bad_request",
                    f"no group has {feature.name}: send it in values, null where it is not known",
                )
            part = parts[feature.join][number][feature.index]
            if part is None:
                raise _column_missing(vectors, feature, joined[feature.join])
            vector += part
            if needed[feature.join]:
                miss = miss or joined[feature.join].rows[number].miss
        made.append(vector if miss is None else None)
        missing.append(miss)
    return made, missing


def _parts(vectors: Vectors, join: int, rows: Sequence[Row]) -> list[list[Part | None]]:
    """Return what each of n rows of a join becomes; worked out once for a row that is repeated."""
    known: dict[int, list[Part | None]] = {}
    for row in rows:
        if id(row) not in known:
            try:
                known[id(row)] = vectors.parts(join, row.values)
            except (TypeError, ValueError) as error:
                raise UnreadableValue(str(error)) from None
    return [known[id(row)] for row in rows]


def _column_missing(vectors: Vectors, feature: FeatureInput, join: JoinedRows) -> ApiError:
    return ApiError(
        "not_materialized",
        f"the rows of {join.join.group} that are there have no column {feature.column}, which "
        f"version {vectors.version_id} of {vectors.version.view} needs; "
        "run: materializer push --all",
    )


def _facts(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {
        "available_at": [row.available_at for row in rows],
        "stale": [row.stale for row in rows],
        "missing": [_code(row.miss) for row in rows],
    }


def _code(miss: LookupMiss | None) -> str | None:
    return None if miss is None else translate(miss).code
