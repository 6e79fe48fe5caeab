"""
`materializer get`: one entity's online row, decoded.

Owns nothing but the words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import DONE, FAILED
from materializer.online.connection import connect
from materializer.online.lookup import get as read_row
from materializer.registry import FeatureGroup


def get(settings: Settings, group: FeatureGroup, key: Sequence[str], console: Console) -> int:
    """
    Print one online row.

    Returns:
        0, or 1 when the entity has no row.

    Raises:
        NotMaterialized: The group was never pushed.
        OnlineStoreUnavailable: The server cannot be reached.
    """
    row = read_row(group, connect(settings, announce=console.note), key)
    entity = dict(zip(group.entity, key, strict=True))
    if row is None:
        console.error(f"{group.name}: no row for {entity}")
        console.result({"group": group.name, "entity": entity, "row": None})
        return FAILED
    for name, value in row.items():
        console.print(f"{name:<24} {json.dumps(value, ensure_ascii=False)}")
    console.result({"group": group.name, "entity": entity, "row": row})
    return DONE
