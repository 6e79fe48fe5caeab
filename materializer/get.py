"""
`materializer get`: one entity's online row, decoded.

Responsible for the reads that make a row: the state of the group, the value, and the contract that
its first element names. The server has its own, cached.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import redis

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import DONE, FAILED, NotMaterialized, UnreadableValue, UsageError
from materializer.online import codec
from materializer.online.connection import address, connect, translate_errors
from materializer.online.state import read_meta
from materializer.registry import Contract, FeatureGroup


def get(settings: Settings, group: FeatureGroup, key: Sequence[str], console: Console) -> int:
    """
    Print one online row.

    Returns:
        0, or 1 when the entity has no row.

    Raises:
        UsageError, NotMaterialized, UnreadableValue, OnlineStoreUnavailable: See `read_row`.
    """
    row = read_row(group, connect(settings, announce=console.note), key)
    entity = dict(zip(group.entity, key, strict=True))
    if row is None:
        console.error(f"{group.name}: no row for {entity}")
    for name, value in (row or {}).items():
        console.print(f"{name:<24} {json.dumps(value, ensure_ascii=False)}")
    console.result({"group": group.name, "entity": entity, "row": row})
    return FAILED if row is None else DONE


def read_row(
    group: FeatureGroup, client: redis.Redis, key: Sequence[str]
) -> dict[str, codec.JSON] | None:
    """
    Read the row of one entity.

    Args:
        group: The group; where its keys are is read from the server.
        client: The online store.
        key: The values of the entity columns as text, in key order.

    Returns:
        Column name -> value, in contract order; None for an unknown or expired entity.

    Raises:
        UsageError: There are more or fewer values than key columns.
        NotMaterialized: The group was never pushed.
        UnreadableValue: What is stored there is not ours.
        OnlineStoreUnavailable: The server cannot be reached.
    """
    if len(key) != len(group.entity):
        raise UsageError(f"{group.name} has the key {', '.join(group.entity)}: give one value each")
    meta = read_meta(client, group.name)
    if meta is None:
        raise NotMaterialized(group.name)
    with translate_errors(address(client)):
        raw = cast("bytes | None", client.get(codec.key(meta.key_prefix, key)))
        if raw is None:
            return None
        contract_id, values = codec.decode_value(raw)
        text = cast("bytes | None", client.get(codec.contract_key(contract_id)))
    if text is None:
        raise UnreadableValue(f"its contract {contract_id} is not there")
    return codec.row(Contract.from_text(text.decode()), values)
