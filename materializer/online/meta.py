"""
What the online store says about itself: per group, which snapshot it holds, and whose.

Owns when that is read and written, see `codec.Meta` for its form. It is written last by a push, so
it never promises more than is there. Refuses to guess: a text that is not ours is an error, not an
empty store.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import redis

from materializer.online import codec
from materializer.online.codec import Meta
from materializer.online.connection import address, translate_errors


def read_meta(client: redis.Redis, group: str) -> Meta | None:
    """
    Read the state of a group, or None when it was never pushed.

    Raises:
        OnlineStoreUnavailable: The server cannot be reached.
        UnreadableValue: What is stored there is not ours.
    """
    with translate_errors(address(client)):
        raw = cast("bytes | None", client.get(codec.meta_key(group)))
    return None if raw is None else Meta.from_json(raw)


def write_meta(client: redis.Redis, group: str, meta: Meta) -> None:
    """
    Write the state of a group.

    Raises:
        OnlineStoreUnavailable: The server cannot be reached.
        OnlineWriteFailed: It refuses.
    """
    with translate_errors(address(client)):
        client.set(codec.meta_key(group), meta.to_json())


def mark_unfinished(client: redis.Redis, group: str, meta: Meta) -> None:
    """Say that a push has begun, so that the next one starts over unless this one ends."""
    write_meta(client, group, replace(meta, unfinished=True))
