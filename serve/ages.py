"""
How old the data of each group is, and which store can be reached, at the time of asking.

Owns the gauges of `/metrics`. They are computed, not kept, so they are right whichever worker
answers. Refuses to fail because a store is away: its ages are left out, and `feature_store_up` says
so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from materializer.errors import FeatureStoreError
from materializer.offline.reader import State
from serve.answers import as_time
from serve.errors import ApiError
from serve.groups import Groups
from serve.stores import Stores


class Ages(Collector):
    """
    The gauges of one server.

    Args:
        here: Its stores, and its clock.
    """

    def __init__(self, here: Stores) -> None:
        self._here = here

    def collect(self) -> Iterable[Metric]:
        """Give the ages of what can be reached, and say which store cannot."""
        published = GaugeMetricFamily(
            "feature_store_published_age_seconds",
            "Time since the newest published row of the group became available.",
            labels=["group"],
        )
        pushed = GaugeMetricFamily(
            "feature_store_pushed_age_seconds",
            "Time since the newest row of the group that is online became available.",
            labels=["group"],
        )
        up = GaugeMetricFamily(
            "feature_store_up", "1 when the store can be reached, else 0.", labels=["store"]
        )
        groups = self._groups()
        up.add_metric(["offline"], groups is not None)
        up.add_metric(["online"], self._online_answers())
        for name, group in sorted((groups or {}).items()):
            self._add(published, name, self._here.offline.state)
            if group.online:
                self._add(pushed, name, self._online_state)
        return published, pushed, up

    def _groups(self) -> Groups | None:
        try:
            return self._here.directory.refresh()
        except (ApiError, FeatureStoreError):
            return None

    def _online_answers(self) -> bool:
        try:
            self._here.online.ping()
        except (ApiError, FeatureStoreError):
            return False
        return True

    def _online_state(self, name: str) -> State | None:
        day = self._here.online.newest_day(name)
        # When the rows of a day became available is known offline only.
        return None if day is None else self._here.offline.state(name, day)

    def _add(
        self, gauge: GaugeMetricFamily, name: str, read: Callable[[str], State | None]
    ) -> None:
        try:
            state = read(name)
        except (ApiError, FeatureStoreError):
            return
        if state is not None and state.available_at is not None:
            age = self._here.settings.now() - as_time(state.available_at)
            gauge.add_metric([name], age.total_seconds())
