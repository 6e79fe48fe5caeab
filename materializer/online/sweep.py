"""
Removing what no push would remove: keys of entities that are in no row of the group any more.

Owns the search for them after a full push, when nobody can tell what was online before. Refuses to
delete a key on its name alone: its value must say that a contract of this very group wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

import redis

from materializer.errors import UnreadableValue
from materializer.online import codec
from materializer.online.connection import address, translate_errors
from materializer.online.selection import Selection
from materializer.registry import Contract, FeatureGroup

_SCAN = 10_000


def sweep(
    client: redis.Redis,
    group: FeatureGroup,
    prefixes: Iterable[str],
    selection: Selection,
) -> int:
    """
    Delete the keys of a group that belong to no entity of it.

    Args:
        client: The online store.
        group: The group.
        prefixes: Prefixes under which its keys may be: the present one and the one before.
        selection: The open engine of the push.

    Returns:
        Number of keys removed.

    Raises:
        OnlineStoreUnavailable: The server went away.
        OnlineWriteFailed: It refuses.
    """
    removed = 0
    ours: dict[str, bool] = {}
    with translate_errors(address(client)):
        for prefix in prefixes:
            _note(client, prefix, selection)
        for keys in selection.stale():
            values = cast("list[bytes | None]", client.mget(keys))
            doomed = [
                key
                for key, value in zip(keys, values, strict=True)
                if value is not None and _wrote(client, group, value, ours)
            ]
            if doomed:
                removed += client.delete(*doomed)
    return removed


def _note(client: redis.Redis, prefix: str, selection: Selection) -> None:
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + ":*"
    cursor = 0
    while True:
        cursor, keys = cast(
            "tuple[int, list[bytes]]", client.scan(cursor, match=pattern, count=_SCAN)
        )
        selection.note_online(keys, prefix)
        if cursor == 0:
            return


def _wrote(client: redis.Redis, group: FeatureGroup, value: bytes, ours: dict[str, bool]) -> bool:
    """Tell whether a contract of the group wrote a value; *ours* remembers the contracts seen."""
    try:
        contract_id, _ = codec.decode_value(value)
    except UnreadableValue:
        return False
    if contract_id not in ours:
        text = cast("bytes | None", client.get(codec.contract_key(contract_id)))
        ours[contract_id] = (
            text is not None and Contract.from_text(text.decode()).group == group.name
        )
    return ours[contract_id]
