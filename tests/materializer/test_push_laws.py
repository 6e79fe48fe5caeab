"""Whatever was published, and whenever it was pushed: online is what plain Python says."""

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
from tests.support.offline import Stores, at, rows
from tests.support.profile import examples

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
def fresh(
    tmp_path: Path, group: FeatureGroup, client: redis.Redis
) -> Iterator[Callable[[], Stores]]:
    """Make one offline store after another."""
    made: list[Stores] = []

    def make() -> Stores:
        made.append(Stores(tmp_path / f"home{len(made)}", group, client))
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
    fresh: Callable[[], Stores], steps: Any
) -> None:
    stores = fresh()
    stores.client.flushall()
    history: dict[str, Mapping[str, int]] = {"2024-01-01": {"ann": 0}}
    stores.publish({"2024-01-01": rows("2024-01-01", ann=0)})
    for published, hours, everything in steps:
        for days in published:
            history |= days
            stores.publish({day: rows(day, **users) for day, users in days.items()})
        now = at("2024-01-01") + timedelta(hours=hours)
        stores.go(now=now, everything=everything, allow_older=True)
        assert stores.clicks() == newest(history, now)
