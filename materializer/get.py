"""
`materializer get`: one entity's online row, decoded.

Responsible for the reads that make a row: the state of the group, the value, and the contract that
its first element names. The server has its own reader, which caches contracts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

import orjson
import redis

from materializer.config import Settings, parse_time
from materializer.console import Console
from materializer.errors import (
    DONE,
    FAILED,
    LookupMiss,
    NotMaterialized,
    UnknownEntity,
    UnreadableValue,
)
from materializer.online import codec
from materializer.online.connection import connect, translate_errors
from materializer.online.state import Meta, read_contract
from materializer.registry import FeatureGroup
from materializer.registry.validity import require_row
from materializer.registry.values import JSON


def get(settings: Settings, group: FeatureGroup, key: Sequence[str], console: Console) -> int:
    """Print one online row; return 1 when the entity has none."""
    client, row = connect(settings, announce=console.note), None
    entity = dict(zip(group.entity, key, strict=True))
    try:
        row = read_row(group, client, key, settings.now())
    except LookupMiss as miss:
        console.error(str(miss))
    for name, value in (row or {}).items():
        console.print(f"{name:<24} {orjson.dumps(value).decode()}")
    console.result({"group": group.name, "entity": entity, "row": row})
    return FAILED if row is None else DONE


def read_row(
    group: FeatureGroup, client: redis.Redis, key: Sequence[str], now: datetime
) -> dict[str, JSON]:
    """
    Return the row of one entity at *now* [aware], by column in contract order.

    *key* has each entity column as text, in key order. The server has the prefix of the key.

    Raises:
        UnknownEntity, NotYetAvailable, Expired: There is no row, or it does not hold.
        NotMaterialized: The group was never pushed, or the row is another group's.
        UnreadableValue: The value is not ours.
        OnlineStoreUnavailable: The server cannot be reached.
    """
    meta = Meta.read(client, codec.meta_key(group.name))
    if meta is None:
        raise NotMaterialized(group.name)
    with translate_errors(client):
        raw = cast("bytes | None", client.get(codec.key(meta.key_prefix, key)))
        if raw is None:
            raise UnknownEntity(group.name, key)
        contract_id, values = codec.decode_value(raw)
        contract = read_contract(client, contract_id)
    if contract is None:
        raise UnreadableValue(f"its contract {contract_id} is not there")
    codec.check_group(contract, replace(group, store_id=meta.store_id))
    row = codec.row(contract, values)
    # As they were published with the rows; the project may have changed them since.
    rules = {name: getattr(meta, name) for name in ("ttl_days", "fresh_hours", "closing_row")}
    group = replace(group, **rules)
    days = meta.built_since(contract, row.get(group.partition))
    require_row(group, key, parse_time(str(row[group.available_at])), now, days)
    return row
