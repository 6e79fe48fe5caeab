"""
Pushing a feature view: every published version of its parameters.

Owns the order: first the versions, then the key that names them, then what is named no more is
deleted. So whoever reads that key finds each version it names. Refuses another store's view unless
told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import redis

from materializer.config import format_time
from materializer.errors import PushRefused, UnreadableValue
from materializer.online import codec
from materializer.online.codec import ViewMeta
from materializer.online.connection import address, translate_errors
from materializer.views.versions import PublishedVersion


@dataclass(frozen=True, slots=True)
class ViewReport:
    """
    What one push of a view did.

    Attributes:
        version: The newest version.
        versions: How many are online.
        up_to_date: Nothing was written.
    """

    version: str
    versions: int
    up_to_date: bool


def push_view(
    view: str,
    published: Sequence[PublishedVersion],
    client: redis.Redis,
    *,
    store_id: str,
    now: datetime,
    everything: bool = False,
    take_over: bool = False,
) -> ViewReport:
    """
    Bring the versions of one view online.

    Args:
        view: Its name.
        published: Its versions, at least one, the newest last.
        client: The online store.
        store_id: The offline store they are of.
        now: The clock [aware].
        everything: Write also what is there, and over what is no state of a view.
        take_over: Write over another store's view.

    Raises:
        PushRefused: Another store's view is there.
        UnreadableValue: What is stored there is not ours, and not everything is to be written.
        OnlineStoreUnavailable, OnlineWriteFailed: The server is away, or refuses a write.
    """
    names = tuple(one.version for one in published)
    with translate_errors(address(client)):
        known = _known(client, view, everything=everything)
        if known is not None and known.store_id != store_id and not take_over:
            raise PushRefused(
                f"{view}: not pushed: {address(client)} holds the view of another store "
                f"({known.store_id}); to replace it: --take-over"
            )
        there = known is not None and (known.store_id, known.versions) == (store_id, names)
        keys = [codec.version_key(view, name) for name in names]
        if there and not everything and client.exists(*keys) == len(keys):
            return ViewReport(names[-1], len(names), up_to_date=True)
        for key, one in zip(keys, published, strict=True):
            client.set(key, one.document)
        meta = ViewMeta(store_id, names[-1], names, format_time(now))
        client.set(codec.view_key(view), meta.to_json())
        gone = [] if known is None else [name for name in known.versions if name not in names]
        for name in gone:
            client.delete(codec.version_key(view, name))
    return ViewReport(names[-1], len(names), up_to_date=False)


def _known(client: redis.Redis, view: str, *, everything: bool) -> ViewMeta | None:
    raw = cast("bytes | None", client.get(codec.view_key(view)))
    try:
        return None if raw is None else ViewMeta.from_json(raw)
    except UnreadableValue:
        if everything:
            return None
        raise
