"""Whatever was published, and whenever it was pushed: online is what plain Python says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materializer.online import codec
from materializer.registry import FeatureGroup
from tests.support.offline import Offline, at, rows
from tests.support.profile import examples
from tests.support.server import clicks

USERS = ["ann", "bob", "cid", "d:e"]
DAYS = [f"2024-01-{n:02}" for n in range(1, 6)]
publishes = st.dictionaries(
    st.sampled_from(DAYS),
    st.dictionaries(st.sampled_from(USERS), st.integers(0, 9)),
    min_size=1,
    max_size=3,
)
steps = st.lists(
    st.tuples(st.lists(publishes, max_size=2), st.integers(0, 7 * 24), st.booleans()),
    min_size=1,
    max_size=5,
)


def newest(history: Mapping[str, Mapping[str, int]], now: datetime) -> dict[str, int]:
    """Say in plain Python what must be online."""
    found = {}
    for day in sorted(history):
        if at(day) + timedelta(days=1) <= now:
            for user, clicks in history[day].items():
                found[codec.key("features", [user])] = clicks
    return found


@pytest.fixture
def fresh(tmp_path: Path, group: FeatureGroup) -> Iterator[Callable[[], Offline]]:
    """Make one offline store after another."""
    made: list[Offline] = []

    def make() -> Offline:
        made.append(Offline(tmp_path / f"home{len(made)}", group))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
def test_after_every_push_exactly_the_newest_usable_rows_are_online(
    client: redis.Redis, fresh: Callable[[], Offline], steps: Any
) -> None:
    client.flushall()
    offline = fresh()
    history: dict[str, Mapping[str, int]] = {"2024-01-01": {"ann": 0}}
    offline.publish({"2024-01-01": rows("2024-01-01", ann=0)})
    for published, hours, everything in steps:
        for days in published:
            history |= days
            offline.publish({day: rows(day, **users) for day, users in days.items()})
        now = at("2024-01-01") + timedelta(hours=hours)
        offline.push(client, now=now, everything=everything, allow_older=True)
        assert clicks(client) == newest(history, now)
