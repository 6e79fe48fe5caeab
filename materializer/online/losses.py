"""
Whether rows of a group went missing since its last push: evicted, or deleted by somebody else.

Responsible for the comparison: what the server says of itself now with what `_meta` says it was,
and a sample of the keys that must exist. Does not repair: the next push writes every row.
"""

from __future__ import annotations

import time
from datetime import datetime

import redis

from materializer.config import micros
from materializer.offline.snapshot import GroupSnapshot
from materializer.online.connection import translate_errors
from materializer.online.facts import ServerFacts, read_facts
from materializer.online.selection import Selection, open_selection
from materializer.online.state import Meta

# Keys that are looked for. If one in two hundred is missing, that is nearly always found.
SAMPLE = 1000
# Files that are read for that, the newest first.
MOST_FILES = 5
# Time [ms] before the expiry of a key from which it need not exist: clocks differ.
_MARGIN_MS = 60_000


def lost_rows(
    snapshot: GroupSnapshot, client: redis.Redis, known: Meta, now: datetime
) -> str | None:
    """Return what went missing of a group whose state is *known*; see `find_loss`."""
    with translate_errors(client), open_selection(snapshot, micros(now)) as selection:
        return find_loss(client, read_facts(client), known, selection)


def find_loss(
    client: redis.Redis, facts: ServerFacts | None, known: Meta, selection: Selection
) -> str | None:
    """Return what went missing since the push that wrote *known*; None if nothing is known of."""
    if facts is not None and (evicted := facts.evicted_since(known)):
        return f"the server evicted {evicted:,} keys"
    keys = _must_exist(known, selection)
    found = client.exists(*keys) if keys else 0
    if found < len(keys):
        return f"{len(keys) - found:,} of {len(keys):,} sampled keys are missing"
    return None


def _must_exist(known: Meta, selection: Selection) -> list[str]:
    """Return a sample of the keys that the push of *known* wrote and nothing has removed since."""
    base = selection.snapshot.files_at(int(known.snapshot_id)) or ()
    pushed, expire_ms = micros(known.pushed_at), time.time_ns() // 10**6 + _MARGIN_MS
    same = {file.path for file in selection.snapshot.files}
    kept = [f for f in base if f.path in same and f.may_hold(selection.after, pushed)]
    keys: dict[str, None] = {}
    for file in sorted(kept, key=lambda file: file.day, reverse=True)[:MOST_FILES]:
        if len(keys) < SAMPLE:
            keys |= dict.fromkeys(selection.held_keys(file, pushed, expire_ms, SAMPLE))
    return list(keys)
