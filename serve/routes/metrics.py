"""
Responsible for `GET /metrics`: what the server did, and how old its data is, for Prometheus.

Labels are bounded: routes by their template, unmatched paths as one, groups by the registry, views
and versions by what was pushed. Counts are those of all worker processes together, from files that
prometheus-client keeps in PROMETHEUS_MULTIPROC_DIR when that is set; ages are computed by the
worker that answers. Does not know what a request was about.
"""

from __future__ import annotations

import collections
import os
import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, cast

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from materializer.errors import FeatureStoreError
from materializer.offline.lookup import State
from materializer.registry import FeatureGroup
from serve.errors import ApiError
from serve.openapi.operations import Operation, described
from serve.responses import Source, as_time
from serve.stores.stores import Stores

UNMATCHED = "unmatched"
OTHER = "other"

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# An online lookup takes about a millisecond, a batch offline up to a minute [s].
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STARTED = "feature_server.started"
# A converter names what the page calls the part: the id of `<id:user_id>`.
_CONVERTER = re.compile(r"<(\w+):\w+>")

T = TypeVar("T")

blueprint = Blueprint("metrics", __name__)


class Metrics:
    """The counts of one worker, and the ages to report next to them; thread-safe."""

    def __init__(self, ages: Collector) -> None:
        self._ages = ages
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "feature_server_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "feature_server_request_seconds",
            "Time from a request's arrival at the application to its answer.",
            ["route", "method"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._misses = Counter(
            "feature_server_misses",
            "Requested rows that are not there, of single lookups, batches and vectors.",
            ["group", "source", "reason"],
            registry=self._registry,
        )
        self._vectors = Counter(
            "feature_server_vectors",
            "Vectors made, by the version that made them.",
            ["view", "version", "source"],
            registry=self._registry,
        )
        # By route, method and status: the metrics of these labels, looked up once.
        self._labelled: dict[tuple[str | None, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, rule: str | None, method: str, status: int, seconds: float) -> None:
        """Count one answer of a route, given by its template; None when no route fits."""
        if method not in _METHODS:
            method = OTHER
        labelled = self._labelled.get((rule, method, status))
        if labelled is None:
            route = UNMATCHED if rule is None else _CONVERTER.sub(r"<\1>", rule)
            labelled = self._labelled[rule, method, status] = (
                self._requests.labels(route, method, str(status)),
                self._seconds.labels(route, method),
            )
        requests, duration = labelled
        requests.inc()
        duration.observe(seconds)

    def missed(self, group: str, source: Source, reasons: Iterable[str | None]) -> None:
        """Count rows that are not there, by the code of the reason; None is a row that is there."""
        for reason, times in collections.Counter(reasons).items():
            if reason is not None:
                self._misses.labels(group, source, reason).inc(times)

    def made(self, view: str, version: str, source: Source, vectors: int) -> None:
        """Count vectors that one version of a view made."""
        if vectors:
            self._vectors.labels(view, version, source).inc(vectors)

    def registry(self) -> CollectorRegistry:
        """Return what a scrape reads: the counts of all workers, and the ages."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder is None:
            counts: Collector = self._registry
        else:
            counts = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]
        both = CollectorRegistry()
        both.register(counts)
        both.register(self._ages)
        return both


def init_app(app: Flask, stores: Stores) -> None:
    """Count every answer of *app*. Call it before anything that may refuse a request."""
    metrics = Metrics(Ages(stores))
    app.extensions["metrics"] = metrics

    def arrive() -> None:
        begin(request.environ)

    def end(response: Response) -> Response:
        started = request.environ.get(_STARTED)
        if started is not None:
            rule = request.url_rule
            metrics.answered(
                None if rule is None else rule.rule,
                request.method,
                response.status_code,
                time.perf_counter() - started,
            )
        return response

    app.before_request(arrive)
    app.after_request(end)


def begin(environ: dict[str, Any]) -> float:
    """Return when a request arrived, by the clock of `time.perf_counter` [s]; noted once."""
    started: float = environ.setdefault(_STARTED, time.perf_counter())
    return started


def metrics_of(app: Flask) -> Metrics:
    """Return the counts of an application."""
    return cast("Metrics", app.extensions["metrics"])


@blueprint.get("/metrics")
@described(
    lambda: Operation({"type": "string"}, media=("text/plain", "application/openmetrics-text"))
)
def scrape() -> Response:
    """Answer the metrics, in the form that the scraper accepts."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(metrics_of(current_app).registry()), content_type=content_type)


class Ages(Collector):
    """
    How old the data of each group is, and which store can be reached.

    Computed, not kept, so they are right whichever worker answers. A store that is away has no
    ages, and `feature_store_up` is 0.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def collect(self) -> Iterable[Metric]:
        """Return the gauges of what can be reached."""
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
        evicted = GaugeMetricFamily(
            "feature_store_evicted_keys",
            "Keys, of anybody, that the online store evicted since the push of the group.",
            labels=["group"],
        )
        groups = _if_up(self._stores.directory.refresh)
        up.add_metric(["offline"], groups is not None)
        up.add_metric(["online"], _if_up(self._stores.online.answers) is not None)
        for name, group in sorted((groups or {}).items()):
            self._add(published, name, partial(self._stores.offline.state, name))
            if group.online:
                self._add(pushed, name, partial(self._online_state, group))
                count = _if_up(partial(self._stores.online.evicted, group))
                if count is not None:
                    evicted.add_metric([name], count)
        return published, pushed, evicted, up

    def _online_state(self, group: FeatureGroup) -> State | None:
        day = self._stores.online.newest_day(group)
        # When the rows of a day became available is known offline only.
        return None if day is None else self._stores.offline.state(group.name, day)

    def _add(self, gauge: GaugeMetricFamily, name: str, read: Callable[[], State | None]) -> None:
        state = _if_up(read)
        if state is not None and state.available_at is not None:
            age = self._stores.settings.now() - as_time(state.available_at)
            gauge.add_metric([name], age.total_seconds())


def _if_up(read: Callable[[], T]) -> T | None:
    """Return what is read from a store; None when the store is away."""
    try:
        return read()
    except (ApiError, FeatureStoreError):
        return None
