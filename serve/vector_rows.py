"""
The rows that vectors are made of: of each group that a view joins, one for each key asked for.

Owns the way from keys to rows, from either store, and what is told of a row beside its values. A
key that is asked for many times is read, and decoded, once. Refuses to take a group whose first
push did not end for one without rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from materializer.errors import LookupMiss, NotMaterialized, UnknownEntity
from materializer.online import codec
from materializer.registry import FeatureGroup, Join
from materializer.views.vector import Vectors
from serve.errors import ApiError, quoted
from serve.requests.vectors import Asked, keys_of
from serve.responses import Freshness, value_as_json
from serve.stores.stores import Stores

Source: TypeAlias = Literal["online", "offline"]
Key: TypeAlias = "tuple[str, ...]"


@dataclass(frozen=True, slots=True)
class Row:
    """
    What was found for one key in one group.

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
class Joined:
    """
    One group of a view, for n keys.

    Attributes:
        join: How the view has it.
        rows: n rows, in the order asked.
    """

    join: Join
    rows: Sequence[Row]


def online(stores: Stores, view: str, asked: Asked, now: datetime) -> tuple[Vectors, list[Joined]]:
    """
    Find version and rows in one round trip: of each group its state, then its rows.

    Raises:
        ApiError: `bad_request`, `unknown_view`, `version_gone`, `unknown_group`,
            `not_materialized`.
        StoreUnavailable: A store cannot be reached, or was never filled.
        UnreadableValue: What is stored there is not ours.
    """
    keys: list[list[Key]] = []
    groups: list[FeatureGroup] = []

    def names(vectors: Vectors) -> list[str]:
        nonlocal keys, groups
        version = vectors.version
        groups = [stores.directory.named(join.group) for join in version.joins]
        sent = keys_of(version, asked)
        keys = [_keys(*one, sent) for one in zip(version.joins, groups, strict=True)]
        return [
            name
            for group, some in zip(groups, keys, strict=True)
            for name in (
                codec.meta_key(group.name),
                *codec.keys(group.key_prefix, list(dict.fromkeys(some))),
            )
        ]

    found = stores.versions.read(view, asked.version, names)
    if found is None:
        raise _unknown(stores, view)
    vectors, raw = found
    joined = []
    for join, group, some in zip(vectors.version.joins, groups, keys, strict=True):
        distinct = dict.fromkeys(some)
        pushed, *values = raw[: len(distinct) + 1]
        raw = raw[len(distinct) + 1 :]
        if pushed is None and (not values or None in values):
            raise NotMaterialized(group.name)
        fresh = Freshness(group, now)
        rows = {
            key: _online_row(stores, group, fresh, key, value)
            for key, value in zip(distinct, values, strict=True)
        }
        joined.append(Joined(join, [rows[key] for key in some]))
    return vectors, joined


def offline(
    stores: Stores, view: str, asked: Asked, as_of: datetime
) -> tuple[Vectors, list[Joined]]:
    """
    Find the version online, and in the offline store the rows that were available then.

    Raises:
        ApiError, StoreUnavailable, UnreadableValue: See `online`.
    """
    found = stores.versions.read(view, asked.version, lambda vectors: [])
    if found is None:
        raise _unknown(stores, view)
    vectors, _ = found
    sent = keys_of(vectors.version, asked)
    joined = []
    for join in vectors.version.joins:
        group = stores.directory.named(join.group)
        some = _keys(join, group, sent)
        distinct = list(dict.fromkeys(some))
        answers = stores.offline.lookup_many(group.name, [(key, as_of) for key in distinct])
        fresh = Freshness(group, as_of)
        rows = {
            key: _offline_row(group, fresh, answer)
            for key, answer in zip(distinct, answers, strict=True)
        }
        joined.append(Joined(join, [rows[key] for key in some]))
    return vectors, joined


def _keys(join: Join, group: FeatureGroup, sent: Sequence[Mapping[str, str]]) -> list[Key]:
    """Tell the key of a group for each row that was asked for."""
    on = dict(join.on)
    names = [on[name] for name in group.entity]
    return [tuple([one[name] for name in names]) for one in sent]


def _online_row(
    stores: Stores, group: FeatureGroup, fresh: Freshness, key: Key, raw: bytes | None
) -> Row:
    if raw is None:
        return Row(None, UnknownEntity(group.name, key))
    values = stores.online.decode(raw)
    available_at, stale, is_gone = fresh.of(values.get(group.available_at))
    if is_gone:
        return Row(None, UnknownEntity(group.name, key))
    return Row(values, None, available_at, stale)


def _offline_row(
    group: FeatureGroup, fresh: Freshness, answer: Mapping[str, Any] | LookupMiss
) -> Row:
    if isinstance(answer, LookupMiss):
        return Row(None, answer)
    values = {name: value_as_json(value) for name, value in answer.items()}
    available_at, stale, _ = fresh.of(values.get(group.available_at))
    return Row(values, None, available_at, stale)


def _unknown(stores: Stores, view: str) -> Exception:
    known = sorted({one.view for one in stores.offline.views()})
    if view in known:
        return NotMaterialized(view)
    told = f"published: {', '.join(known)}" if known else "none was published"
    return ApiError("unknown_view", f"no feature view {quoted(view)} was pushed; {told}")
