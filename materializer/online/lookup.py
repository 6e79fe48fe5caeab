"""
Reading one row back from the online store, for the command line.

Owns the two reads that make a row: the value, and the contract that its first element names. The
server has its own, cached. Refuses to answer from a group that was never pushed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import redis

from materializer.errors import NotMaterialized, UnreadableValue, UsageError
from materializer.online import codec
from materializer.online.connection import address, translate_errors
from materializer.registry import Contract, FeatureGroup


def get(
    group: FeatureGroup, client: redis.Redis, key_parts: Sequence[str]
) -> dict[str, codec.JSON] | None:
    """
    Read the row of one entity.

    Args:
        group: The group.
        client: The online store.
        key_parts: The values of the entity columns as text, in key order.

    Returns:
        Column name -> value, in contract order; None for an unknown or expired entity.

    Raises:
        UsageError: There are more or fewer parts than key columns.
        NotMaterialized: The group was never pushed.
        UnreadableValue: What is stored there is not ours.
        OnlineStoreUnavailable: The server cannot be reached.
    """
    if len(key_parts) != len(group.entity):
        raise UsageError(f"{group.name} has the key {', '.join(group.entity)}: give one value each")
    with translate_errors(address(client)):
        raw = cast("bytes | None", client.get(codec.key(group.key_prefix, key_parts)))
        if raw is None:
            if not client.exists(codec.meta_key(group.name)):
                raise NotMaterialized(group.name)
            return None
        contract_id, values = codec.decode_value(raw)
        text = cast("bytes | None", client.get(codec.contract_key(contract_id)))
    if text is None:
        raise UnreadableValue(f"its contract {contract_id} is not there")
    return codec.row(Contract.from_text(text.decode()), values)
