"""
What one entity takes in the server's memory, measured alike for Feast and for this store.

Owns the one way of measuring it: the growth of `used_memory` over the number of keys. Refuses to
know what a key holds.
"""

from __future__ import annotations

import time

import redis


def emptied(client: redis.Redis) -> int:
    """Remove every key of the server, and return the memory it then uses [bytes]."""
    client.flushall(asynchronous=False)
    return settled(client)


def bytes_per_key(client: redis.Redis, before: int) -> float:
    """
    Return what each key takes.

    Args:
        client: The server, which nothing writes to any more.
        before: What `emptied` returned before the keys were written [bytes].

    Returns:
        Bytes of a key, its value, and their share of the server's tables.
    """
    return (settled(client) - before) / int(client.dbsize())


def settled(client: redis.Redis, seconds: float = 10) -> int:
    """Return the memory in use once it rests: tables are moved and buffers freed a while later."""
    end = time.monotonic() + seconds
    seen = [_used(client)]
    # Buffers of a closed connection are freed by a timer that runs ten times a second.
    while time.monotonic() < end and (len(seen) < 4 or max(seen[-4:]) - min(seen[-4:]) > 4096):
        time.sleep(0.2)
        seen.append(_used(client))
    return seen[-1]


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])
