"""
What the online store says about itself: per group, which snapshot it holds, and whose.

Owns the JSON under `features:_meta:<group>`. It is written last by a push, so it never promises
more than is there. Refuses to guess: a text that is not ours is an error, not an empty store.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import cast

import redis

from materializer import codec
from materializer.config import parse_time
from materializer.errors import UnreadableValue
from materializer.online.connection import place, talking


@dataclass(frozen=True, slots=True)
class Meta:
    """
    The state of one group online.

    Attributes:
        store_id: The offline store whose rows these are.
        snapshot_id: Iceberg snapshot of the group's table, as a decimal text.
        day: Newest partition with a row that was available, or None.
        rows: Rows written by the last push that wrote any.
        contract: Id of the contract those rows were written with.
        pushed_at: Clock of the last push, an ISO time in UTC.
        key_prefix: Prefix of the group's keys.
        ttl_days: The group's `ttl_days` at that push.
        unfinished: A push began after this was written and did not end: rows may be newer.
    """

    store_id: str
    snapshot_id: str
    day: str | None
    rows: int
    contract: str
    pushed_at: str
    key_prefix: str
    ttl_days: int | None
    unfinished: bool = False

    def to_json(self) -> str:
        """Write the text that is stored; `unfinished` only when it is so."""
        body = asdict(self)
        if not self.unfinished:
            del body["unfinished"]
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: bytes) -> Meta:
        """
        Read what `to_json` wrote.

        Raises:
            UnreadableValue: It is something else.
        """
        try:
            meta = cls(**json.loads(raw))
            int(meta.snapshot_id)
            parse_time(meta.pushed_at)
            return meta
        except (ValueError, TypeError, AttributeError) as error:
            raise UnreadableValue(str(error)) from None


def read_meta(client: redis.Redis, group: str) -> Meta | None:
    """
    Read the state of a group, or None when it was never pushed.

    Raises:
        OnlineStoreUnavailable: The server cannot be reached.
        UnreadableValue: What is stored there is not ours.
    """
    with talking(place(client)):
        raw = cast("bytes | None", client.get(codec.meta_key(group)))
    return None if raw is None else Meta.from_json(raw)


def write_meta(client: redis.Redis, group: str, meta: Meta) -> None:
    """
    Write the state of a group.

    Raises:
        OnlineStoreUnavailable: The server cannot be reached.
        OnlineWriteFailed: It refuses.
    """
    with talking(place(client)):
        client.set(codec.meta_key(group), meta.to_json())


def mark_unfinished(client: redis.Redis, group: str, meta: Meta) -> None:
    """Say that a push has begun, so that the next one starts over unless this one ends."""
    write_meta(client, group, replace(meta, unfinished=True))
