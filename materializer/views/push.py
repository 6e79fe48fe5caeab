"""
Pushing a feature view: every published version of its parameters.

Responsible for the order: write the versions, then the key that names them, then delete those that
it no longer names. So a reader of that key finds each version it names. Does not replace another
store's view, unless the options allow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import redis

from materializer.online import codec
from materializer.online.connection import translate_errors
from materializer.online.owners import Owner, claim
from materializer.online.push import DEFAULT, PushOptions
from materializer.online.state import ViewMeta
from materializer.views.versions import PublishedVersion


def push_view(
    view: str,
    published: Sequence[PublishedVersion],
    client: redis.Redis,
    *,
    store_id: str,
    now: datetime,
    options: PushOptions = DEFAULT,
) -> bool:
    """
    Bring the versions of one view online, of which the newest comes last.

    Returns:
        Whether there was anything to write.

    Raises:
        PushRefused: The view of another store is online.
        UnreadableValue: The value is not ours, and not everything is to be written.
        OnlineStoreUnavailable, OnlineWriteFailed: The server is away, or refuses a write.
    """
    names = tuple(version.version for version in published)
    keys = [codec.version_key(view, name) for name in names]
    with translate_errors(client):
        key_of_view = codec.view_key(view)
        known = ViewMeta.read(client, key_of_view, ignore_unreadable=options.everything)
        claim(client, "view", view, Owner(store_id=store_id), take_over=options.take_over)
        same = known is not None and (known.store_id, known.versions) == (store_id, names)
        if same and not options.everything and client.exists(*keys) == len(keys):
            return False
        for key, version in zip(keys, published, strict=True):
            client.set(key, version.document)
        state = ViewMeta(store_id=store_id, version=names[-1], versions=names, pushed_at=now)
        state.write(client, key_of_view)
        for name in known.versions if known else ():
            if name not in names:
                client.delete(codec.version_key(view, name))
    return True
