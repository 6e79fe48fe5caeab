"""
What a server says of itself that bears on the rows it holds: how many keys it evicted, and may it.

Does not look at a row, and does without the permission to use INFO.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import redis
from redis.exceptions import ResponseError

from materializer.online.state import Meta

_SAFE = "noeviction"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """
    What a server says of itself.

    Attributes:
        run_id: Changes with every start.
        evicted_keys: Keys evicted since then, of anybody.
        policy: Its `maxmemory-policy` if it has a limit of memory; else that which evicts nothing.
    """

    run_id: str
    evicted_keys: int
    policy: str = _SAFE

    @property
    def may_evict(self) -> bool:
        """Whether rows may be lost for want of memory."""
        return self.policy != _SAFE

    def evicted_since(self, meta: Meta) -> int:
        """Return how many keys were evicted since a push, as far as the server knows."""
        before = meta.evicted_keys if meta.run_id == self.run_id else 0
        return max(0, self.evicted_keys - (before or 0))


def read_facts(client: redis.Redis) -> ServerFacts | None:
    """Return what the server says of itself; None if the user may not ask."""
    try:
        return facts_from(cast("Mapping[str, object]", client.info()))
    except ResponseError:
        return None


def facts_from(info: Mapping[str, object]) -> ServerFacts:
    """Return the facts of a reply to INFO, by its names."""
    limited = int(str(info.get("maxmemory", 0))) > 0
    return ServerFacts(
        run_id=str(info.get("run_id", "")),
        evicted_keys=int(str(info.get("evicted_keys", 0))),
        policy=str(info.get("maxmemory_policy", _SAFE)) if limited else _SAFE,
    )
