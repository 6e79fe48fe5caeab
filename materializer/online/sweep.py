"""
Removing the keys that no push would remove: those of entities that have no row any more.

Responsible for finding them after a full push, when it is unknown what was online before. Does not
delete a key for its name alone: its value must name a contract of this very group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import redis

from materializer.errors import UnreadableValue
from materializer.online import codec
from materializer.online.selection import Selection
from materializer.registry import Contract

_SCAN = 10_000


def sweep(client: redis.Redis, group: str, prefixes: Iterable[str], selection: Selection) -> int:
    """
    Delete the keys of a group that belong to no entity of it.

    Args:
        client: The online store.
        group: Name of the group.
        prefixes: Prefixes under which its keys may be: the current one and the one before.
        selection: The open selection of the push.

    Returns:
        Number of keys removed.
    """
    for prefix in sorted(set(prefixes)):
        for keys in _scan(client, prefix):
            selection.add_online_keys(keys, prefix)
    removed = 0
    contracts: dict[str, bool] = {}
    for batch in selection.keys_without_entity():
        values = cast("list[bytes | None]", client.mget(batch))
        written = _written_by(client, group, values, contracts)
        doomed = [key for key, ours in zip(batch, written, strict=True) if ours]
        if doomed:
            removed += client.delete(*doomed)
    return removed


def _scan(client: redis.Redis, prefix: str) -> Iterator[list[bytes]]:
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + ":*"
    cursor = -1
    while cursor:
        cursor, keys = cast(
            "tuple[int, list[bytes]]", client.scan(max(cursor, 0), match=pattern, count=_SCAN)
        )
        yield keys


def _written_by(
    client: redis.Redis, group: str, values: Sequence[bytes | None], contracts: dict[str, bool]
) -> Iterator[bool]:
    """Yield for each value whether a contract of the group wrote it; *contracts* is the cache."""
    for value in values:
        try:
            contract_id, _ = codec.decode_value(value or b"")
        except UnreadableValue:
            yield False
            continue
        if contract_id not in contracts:
            text = cast("bytes | None", client.get(codec.contract_key(contract_id)))
            contracts[contract_id] = (
                text is not None and Contract.from_text(text.decode()).group == group
            )
        yield contracts[contract_id]
