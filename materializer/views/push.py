"""
Pushing a feature view: every published version of its parameters.

Responsible for the order: first the versions, then the key that names them, then the versions that
it no longer names are deleted. So whoever reads that key finds each version it names. Does not
replace another store's view, unless the options allow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import redis

from materializer.errors import PushRefused, UnreadableValue
from materializer.online import codec
from materializer.online.connection import address, translate_errors
from materializer.online.push import DEFAULT, PushOptions
from materializer.online.state import ViewMeta
from materializer.views.versions import PublishedVersion


@dataclass(frozen=True, slots=True)
class ViewReport:
    """
    What the push of a view did.

    Attributes:
        version: The newest version.
        versions: How many are online.
        up_to_date: Nothing was written.
    """

    version: str
    versions: int
    up_to_date: bool

    def __str__(self) -> str:
        """Return the figures for a person."""
        if self.up_to_date:
            return f"up to date, version {self.version}"
        return f"version {self.version}, {self.versions:,} in all"

    def to_dict(self) -> dict[str, object]:
        """Return the figures for a machine."""
        return {"version": self.version, "versions": self.versions}


def push_view(
    view: str,
    published: Sequence[PublishedVersion],
    client: redis.Redis,
    *,
    store_id: str,
    now: datetime,
    options: PushOptions = DEFAULT,
) -> ViewReport:
    """
    Bring the versions of one view online.

    Args:
        view: Its name.
        published: Its versions, at least one, the newest last.
        client: The online store.
        store_id: The offline store that holds them.
        now: The clock [aware].
        options: With `everything`, write also what is there, and over what is not ours.

    Raises:
        PushRefused: Another store's view is there.
        UnreadableValue: What is stored there is not ours.
        OnlineStoreUnavailable, OnlineWriteFailed: The server is away, or refuses a write.
    """
    names = tuple(version.version for version in published)
    keys = [codec.version_key(view, name) for name in names]
    with translate_errors(address(client)):
        known = _known(client, view, options)
        if known is not None and known.store_id != store_id and not options.take_over:
            raise PushRefused(
                f"{view}: not pushed: {address(client)} holds the view of another store "
                f"({known.store_id}); to replace it: --take-over"
            )
        same = known is not None and (known.store_id, known.versions) == (store_id, names)
        if same and not options.everything and client.exists(*keys) == len(keys):
            return ViewReport(names[-1], len(names), up_to_date=True)
        for key, version in zip(keys, published, strict=True):
            client.set(key, version.document)
        state = ViewMeta(
            store_id=store_id,
            version=names[-1],
            versions=names,
            pushed_at=now.astimezone(UTC),
        )
        client.set(codec.view_key(view), state.to_json())
        for name in known.versions if known else ():
            if name not in names:
                client.delete(codec.version_key(view, name))
    return ViewReport(names[-1], len(names), up_to_date=False)


def _known(client: redis.Redis, view: str, options: PushOptions) -> ViewMeta | None:
    raw = cast("bytes | None", client.get(codec.view_key(view)))
    try:
        return None if raw is None else ViewMeta.from_json(raw)
    except UnreadableValue:
        if options.everything:
            return None
        raise
