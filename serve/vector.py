"""
`POST /feature-views/<view>/vector`: what a model is given for its keys, now or at an earlier time.

Owns the way from keys to a vector: the rows of every group in one round trip, values of the request
in their place, the transforms of one version, and what a missing row means. Refuses to mix
versions: one answer is made by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from flask import Blueprint, request

from materializer import codec
from materializer.config import format_time
from materializer.errors import LookupMiss, NotMaterialized, StoreUnavailable, UnknownEntity
from materializer.registry import FeatureGroup, Join
from materializer.registry.view import ERROR
from materializer.vector import Vectors
from serve import metrics, stores, view_schemas
from serve.answers import as_time, is_expired, is_stale, value_as_json
from serve.asked import Asked, keys_of, read_asked, values_of
from serve.errors import ApiError, translate
from serve.keys import short
from serve.operations import described_for_each

Source: TypeAlias = Literal["online", "offline"]
Found: TypeAlias = "Mapping[str, Any] | LookupMiss"

blueprint = Blueprint("vector", __name__)


@dataclass(frozen=True, slots=True)
class _Rows:
    """
    What was found for n keys in one group.

    Attributes:
        join: How the view has the group.
        group: The group.
        found: n rows, their values as JSON has them, or why there is none.
    """

    join: Join
    group: FeatureGroup
    found: Sequence[Found]


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
    here = stores.current()
    now = here.settings.now()
    asked = read_asked(request, now=now)
    if asked.as_of is None:
        vectors, joined = _online(here, view, asked, now)
    else:
        vectors, joined = _offline(here, view, asked, asked.as_of)
    made, missing = _make(vectors, joined, values_of(vectors.version, asked))
    source: Source = "online" if asked.as_of is None else "offline"
    as_of = asked.as_of or now
    groups = {rows.join.name: _freshness(rows, source, as_of) for rows in joined}
    answer = {
        "view": view,
        "version": vectors.version.id,
        "source": source,
        "as_of": format_time(as_of),
        "columns": [column.name for column in vectors.columns],
        "dtypes": [column.type for column in vectors.columns],
    }
    if asked.many:
        codes = [None if miss is None else translate(miss).code for miss in missing]
        return {**answer, "vectors": made, "missing": codes, "groups": groups}
    if missing[0] is not None:
        raise missing[0]
    of_one = {
        name: {fact: values[0] for fact, values in facts.items()} for name, facts in groups.items()
    }
    return {**answer, "vector": made[0], "groups": of_one}


def _online(
    here: stores.Stores, view: str, asked: Asked, now: datetime
) -> tuple[Vectors, list[_Rows]]:
    """Find version and rows in one round trip: of each group its state, then its rows."""
    keys: list[list[tuple[str, ...]]] = []
    groups: list[FeatureGroup] = []

    def names(vectors: Vectors) -> list[str]:
        nonlocal keys, groups
        version = vectors.version
        groups = [here.directory.named(join.group) for join in version.joins]
        sent = keys_of(version, asked)
        keys = [_keys(*one, sent) for one in zip(version.joins, groups, strict=True)]
        return [
            name
            for group, some in zip(groups, keys, strict=True)
            for name in (
                codec.meta_key(group.name),
                *(codec.key(group.key_prefix, key) for key in some),
            )
        ]

    found = here.versions.read(view, asked.version, names)
    if found is None:
        raise _unknown(here, view)
    vectors, raw = found
    joined = []
    for join, group, some in zip(vectors.version.joins, groups, keys, strict=True):
        pushed, *values = raw[: len(some) + 1]
        raw = raw[len(some) + 1 :]
        if pushed is None and not any(values):
            raise NotMaterialized(group.name)
        rows = [_row(here, group, *one, now) for one in zip(some, values, strict=True)]
        joined.append(_Rows(join, group, rows))
    return vectors, joined


def _keys(
    join: Join, group: FeatureGroup, sent: Sequence[Mapping[str, str]]
) -> list[tuple[str, ...]]:
    """Tell the key of a group for each row that was asked for."""
    on = dict(join.on)
    names = [on[name] for name in group.entity]
    return [tuple([one[name] for name in names]) for one in sent]


def _row(
    here: stores.Stores,
    group: FeatureGroup,
    key: tuple[str, ...],
    raw: bytes | None,
    now: datetime,
) -> Found:
    row = None if raw is None else here.online.decode(raw)
    if row is None or is_expired(group, as_time(row[group.available_at]), now):
        return UnknownEntity(group.name, key)
    return row


def _offline(
    here: stores.Stores, view: str, asked: Asked, as_of: datetime
) -> tuple[Vectors, list[_Rows]]:
    """Find the version online, and in the offline store the rows that were available then."""
    found = here.versions.read(view, asked.version, lambda vectors: [])
    if found is None:
        raise _unknown(here, view)
    vectors, _ = found
    sent = keys_of(vectors.version, asked)
    joined = []
    for join in vectors.version.joins:
        group = here.directory.named(join.group)
        questions = [(key, as_of) for key in _keys(join, group, sent)]
        rows = here.offline.lookup_many(group.name, questions)
        as_json = [
            row
            if isinstance(row, LookupMiss)
            else {name: value_as_json(value) for name, value in row.items()}
            for row in rows
        ]
        joined.append(_Rows(join, group, as_json))
    return vectors, joined


def _unknown(here: stores.Stores, view: str) -> Exception:
    known = sorted({one.view for one in here.offline.views()})
    if view in known:
        return NotMaterialized(view)
    told = f"published: {', '.join(known)}" if known else "none was published"
    return ApiError("unknown_view", f"no feature view {short(view)} was pushed; {told}")


def _make(
    vectors: Vectors, joined: Sequence[_Rows], values: Sequence[Mapping[str, Any]]
) -> tuple[list[list[Any] | None], list[LookupMiss | None]]:
    """
    Make n vectors.

    Returns:
        n vectors, each None where the view needs a row that is missing; and n reasons of that.

    Raises:
        ApiError: `bad_request`: a feature that no group has was not sent.
    """
    by_name = {rows.join.name: rows for rows in joined}
    features = vectors.version.features
    made: list[list[Any] | None] = []
    missing: list[LookupMiss | None] = []
    for number, given in enumerate(values):
        row: list[Any] = []
        miss: LookupMiss | None = None
        for feature in features:
            if feature.name in given:
                row.append(given[feature.name])
                continue
            if feature.join is None:
                raise ApiError(
                    "bad_request",
                    f"no group has {feature.name}: send it in values, null where it is not known",
                )
            rows = by_name[feature.join]
            found = rows.found[number]
            if not isinstance(found, LookupMiss):
                row.append(found.get(feature.column or ""))
                continue
            if rows.join.missing == ERROR:
                miss = found
            row.append(None)
        made.append(vectors.make(row) if miss is None else None)
        missing.append(miss)
    return made, missing


def _freshness(rows: _Rows, source: Source, as_of: datetime) -> dict[str, list[Any]]:
    """Tell since when n rows are true and whether they are stale, or why there is none."""
    facts: dict[str, list[Any]] = {"available_at": [], "stale": [], "missing": []}
    told: tuple[str | None, bool | None, str | None]
    for row in rows.found:
        if isinstance(row, LookupMiss):
            told = (None, None, metrics.missed(rows.group.name, source, row))
        else:
            available_at = as_time(row[rows.group.available_at])
            told = (format_time(available_at), is_stale(rows.group, available_at, as_of), None)
        for name, value in zip(facts, told, strict=True):
            facts[name].append(value)
    return facts
