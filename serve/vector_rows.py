"""
Responsible for the rows that vectors are made of: one for each key, of each group of a view.

A key that is sent many times is read, and decoded, once. Does not mistake a group whose first push
was interrupted for one without rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from materializer.errors import LookupMiss, NotMaterialized, OtherDefinition, UnknownEntity
from materializer.online import codec
from materializer.registry import FeatureGroup
from materializer.registry.values import json_value
from materializer.views.definition import Join
from materializer.views.vector import Vectors
from serve.errors import ApiError, quoted
from serve.requests.batch import Key
from serve.requests.vectors import VectorRequest
from serve.responses import Freshness
from serve.stores.stores import Stores


@dataclass(frozen=True, slots=True)
class Row:
    """
    The row of one key in one group.

    Attributes:
        values: By column, as JSON has them; None when there is no row.
        miss: Why there is none.
        available_at: Since when it is true, an ISO time in UTC.
        stale: Whether it is older than the group's `max_age_hours`.
    """

    values: Mapping[str, Any] | None
    miss: LookupMiss | None = None
    available_at: str | None = None
    stale: bool | None = None


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """One join of a view, with the rows of n keys in the order of the request."""

    join: Join
    rows: Sequence[Row]


def read_online(
    stores: Stores, view: str, request: VectorRequest, now: datetime
) -> tuple[Vectors, list[JoinedRows]]:
    """
    Read version and rows in one round trip: of each group its state, then its rows.

    Raises:
        ApiError: `bad_request`, `unknown_view`, `version_gone`, `version_outdated`,
            `unknown_group`, `not_materialized`.
        StoreUnavailable: A store cannot be reached, or was never filled.
        UnreadableValue: This project did not write what is stored there.
    """
    joins: list[tuple[Join, FeatureGroup, list[Key]]] = []

    def row_keys(vectors: Vectors) -> list[str]:
        nonlocal joins
        joins = _join_keys(stores, vectors, request)
        names: list[str] = []
        for _, group, keys in joins:
            names.append(codec.meta_key(group.name))
            names += codec.keys(group.key_prefix, list(dict.fromkeys(keys)))
        return names

    read = stores.versions.read(view, request.version, row_keys)
    if read is None:
        raise _unknown_view(stores, view)
    vectors, raw = read
    joined = []
    for join, group, keys in joins:
        distinct = dict.fromkeys(keys)
        pushed, *values = raw[: len(distinct) + 1]
        raw = raw[len(distinct) + 1 :]
        if pushed is None and (not values or None in values):
            raise NotMaterialized(group.name)
        fresh = Freshness(group, now)
        check = partial(_check_definition, vectors, join)
        if pushed is not None and None in values:
            # Which rows there are depends on the definition too.
            check(stores.online.definition(group, pushed))
        rows = {
            key: _online_row(stores, group, fresh, key, value, pushed, check)
            for key, value in zip(distinct, values, strict=True)
        }
        joined.append(JoinedRows(join, [rows[key] for key in keys]))
    return vectors, joined


def read_offline(
    stores: Stores, view: str, request: VectorRequest, as_of: datetime
) -> tuple[Vectors, list[JoinedRows]]:
    """Read the version online, and offline the rows that were available then; see `read_online`."""
    read = stores.versions.read(view, request.version, lambda vectors: [])
    if read is None:
        raise _unknown_view(stores, view)
    vectors, _ = read
    joined = []
    for join, group, keys in _join_keys(stores, vectors, request):
        distinct = list(dict.fromkeys(keys))
        lookups = [(key, as_of) for key in distinct]
        try:
            answers = stores.offline.lookup_many(group.name, lookups, definition=join.definition)
        except OtherDefinition:
            raise _outdated(vectors, join) from None
        fresh = Freshness(group, as_of)
        rows = {
            key: _offline_row(group, fresh, answer)
            for key, answer in zip(distinct, answers, strict=True)
        }
        joined.append(JoinedRows(join, [rows[key] for key in keys]))
    return vectors, joined


def _join_keys(
    stores: Stores, vectors: Vectors, request: VectorRequest
) -> list[tuple[Join, FeatureGroup, list[Key]]]:
    """Return each join of the view, its group, and that group's key for each of n vectors."""
    version = vectors.version
    sent = request.keys(version)
    columns = [column.name for column in version.keys]
    joins = []
    for join in version.joins:
        group = stores.directory.named(join.group)
        indexes = [columns.index(join.on[name]) for name in group.entity]
        keys = [tuple([key[index] for index in indexes]) for key in sent]
        joins.append((join, group, keys))
    return joins


def _online_row(
    stores: Stores,
    group: FeatureGroup,
    fresh: Freshness,
    key: Key,
    raw: bytes | None,
    meta: bytes | None,
    check: Callable[[str | None], None],
) -> Row:
    if raw is None:
        return Row(None, UnknownEntity(group.name, key))
    row = stores.online.decode(raw, group, meta)
    check(row.definition)
    time = row.values.get(group.available_at)
    available_at, stale, miss = fresh.read(time, row.built_since)
    if miss is not None:
        return Row(None, miss(group.name, key, fresh.as_of))
    return Row(row.values, None, available_at, stale)


def _check_definition(vectors: Vectors, join: Join, definition: str | None) -> None:
    """Raise `version_outdated` for rows of another definition than the version was fitted on."""
    if definition != join.definition:
        raise _outdated(vectors, join)


def _outdated(vectors: Vectors, join: Join) -> ApiError:
    version = vectors.version
    return ApiError(
        "version_outdated",
        f"version {vectors.version_id} of {version.view} was fitted on another definition of "
        f"{join.group} than the rows have now; request a newer version, with a model trained on "
        f"it; if there is none: dbt build --select {version.training_set}+, materializer run",
    )


def _offline_row(
    group: FeatureGroup, fresh: Freshness, answer: Mapping[str, Any] | LookupMiss
) -> Row:
    if isinstance(answer, LookupMiss):
        return Row(None, answer)
    values = {name: json_value(value) for name, value in answer.items()}
    available_at, stale, _ = fresh.read(values.get(group.available_at))
    return Row(values, None, available_at, stale)


def _unknown_view(stores: Stores, view: str) -> Exception:
    published = sorted({version.view for version in stores.offline.views()})
    if view in published:
        return NotMaterialized(view)
    known = f"published: {', '.join(published)}" if published else "none was published"
    return ApiError("unknown_view", f"no feature view {quoted(view)} was pushed; {known}")
