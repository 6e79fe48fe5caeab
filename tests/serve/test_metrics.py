"""`GET /metrics`: counts of all workers together, misses by reason, ages of the data."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serve.payments import KEY, ROUTE, SENT
from tests.serve.support import (
    ROOT,
    Application,
    FeatureServer,
    Http,
    Store,
    alive,
    children,
    days_of,
    environment,
    kill_worker,
    until,
)
from tests.support.server import evict

TOKEN = "s3cret-of-the-scraper"
HOUR = 3600
# What the parser and the library add to a histogram or a counter.
SUFFIXES = re.compile(r"_(total|created|bucket|count|sum)$")

Scraped = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def counted(filled: Store) -> Iterator[Application]:
    """Give an application that answered nothing yet."""
    with filled.application() as application:
        yield application


def scrape(http: Http, **headers: str) -> Scraped:
    """Read every sample by its name and its labels, in order."""
    answer = http.get("/metrics", **headers)
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def sample(scraped: Scraped, name: str, **labels: str) -> float | None:
    return scraped.get((name, tuple(sorted(labels.items()))))


def samples_of(scraped: Scraped, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by the values of their labels in order of the labels' names."""
    return {
        tuple(value for _, value in labels): number
        for (found, labels), number in scraped.items()
        if found == name
    }


def test_the_page_reports_every_metric_with_its_labels(
    counted: Application, payments: Store
) -> None:
    counted.online("nobody")
    counted.online("user1")
    page = (ROOT / "docs" / "reference" / "http.md").read_text()
    reported = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(feature_\w+)` \| ([^|]*) \|", page, re.M)
    }

    with payments.application() as server:
        server.post(ROUTE, {"keys": KEY, "values": SENT})
        scraped = {**scrape(counted), **scrape(server)}
    found: dict[str, set[str]] = {}
    for name, labels in scraped:
        if not name.endswith("_created"):
            known = found.setdefault(SUFFIXES.sub("", name), set())
            known.update({label for label, _ in labels} - {"le"})

    assert {SUFFIXES.sub("", name): labels for name, labels in reported.items()} == found


def test_answers_are_counted_by_route_method_and_status(counted: Application) -> None:
    for _ in range(3):
        counted.online("user1")
    counted.online("nobody")
    counted.get("/features/online/user1", method="HEAD")
    counted.get("/nothing/here")
    counted.get("/nothing/else")
    counted.get("/health", method="BREW")
    counted.post("/feature-groups/features_daily/online", b"no json")

    scraped = scrape(counted)

    short = "/features/online/<id>"
    assert samples_of(scraped, "feature_server_requests_total") == {
        # In order of the labels' names: method, route, status.
        ("GET", short, "200"): 3,
        ("GET", short, "404"): 1,
        ("HEAD", short, "200"): 1,
        ("GET", "unmatched", "404"): 2,
        ("other", "unmatched", "405"): 1,
        ("POST", "/feature-groups/<group>/online", "400"): 1,
    }
    assert samples_of(scraped, "feature_server_request_seconds_count")["GET", short] == 4
    total = samples_of(scraped, "feature_server_request_seconds_sum")["GET", short]
    assert 0 < total < 20
    buckets = samples_of(scraped, "feature_server_request_seconds_bucket")
    assert buckets["+Inf", "GET", short] == 4


def test_ids_never_become_labels(counted: Application) -> None:
    for n in range(20):
        counted.online(f"nobody{n}")
        counted.get(f"/feature-groups/group{n}/online?user_id=1")

    assert "nobody" not in str(scrape(counted))
    assert "group1" not in str(scrape(counted))


def test_misses_are_counted_by_reason_in_single_lookups_and_batches(
    counted: Application,
) -> None:
    counted.online("nobody")
    counted.offline("late", "2024-01-02T00:00:00Z")
    counted.offline("late", "2024-01-07T00:00:00Z")
    counted.get("/feature-groups/pairs/offline?user_id=old&item_id=1&as_of=2024-01-07")
    keys = [{"user_id": "nobody"}, {"user_id": "user1"}, {"user_id": "nobody2"}]
    counted.post("/feature-groups/features_daily/online", {"keys": keys})
    late = [{"user_id": "late"}]
    counted.post(
        "/feature-groups/features_daily/offline", {"keys": late, "as_of": "2024-01-02T00:00:00Z"}
    )

    # In order of the labels' names: group, reason, source.
    assert samples_of(scrape(counted), "feature_server_misses_total") == {
        ("features_daily", "unknown_entity", "online"): 3,
        ("features_daily", "not_yet_available", "offline"): 2,
        ("pairs", "expired", "offline"): 1,
    }


def test_ages_are_those_of_the_newest_row_at_the_time_of_asking(counted: Application) -> None:
    scraped = scrape(counted)

    # The newest day ends twelve hours before the clock of the tests; pairs wait six hours more.
    assert samples_of(scraped, "feature_store_published_age_seconds") == {
        ("features_daily",): 12 * HOUR,
        ("pairs",): 6 * HOUR,
    }
    assert samples_of(scraped, "feature_store_pushed_age_seconds") == {
        ("features_daily",): 12 * HOUR,
        ("pairs",): 6 * HOUR,
    }
    assert samples_of(scraped, "feature_store_up") == {("offline",): 1, ("online",): 1}


def test_a_store_that_is_away_is_reported_and_its_ages_are_not(filled: Store, store: Store) -> None:
    with store.application() as http:
        empty = scrape(http)
    store.redis.kill()
    with Application(filled.home, store.redis.url) as http:
        scraped = scrape(http)

    assert samples_of(scraped, "feature_store_up") == {("offline",): 1, ("online",): 0}
    assert sorted(samples_of(scraped, "feature_store_published_age_seconds")) == [
        ("features_daily",),
        ("pairs",),
    ]
    assert samples_of(scraped, "feature_store_pushed_age_seconds") == {}
    assert samples_of(empty, "feature_store_published_age_seconds") == {}


def test_keys_that_were_evicted_since_the_push_are_reported(store: Store) -> None:
    store.publish(days_of("user1"))
    store.push()
    name = "feature_store_evicted_keys"
    with store.application() as http:
        before = sample(scrape(http), name, group="features_daily")
        evict(store.redis.client())
        after = sample(scrape(http), name, group="features_daily")

    assert before == 0
    assert after == store.redis.client().info("stats")["evicted_keys"]


def test_several_workers_answer_and_any_reports_the_sum_of_all(filled: Store) -> None:
    with filled.server("--workers", "2") as server:
        workers = children(server.pid)
        sent, statuses = 0, set()
        # The kernel gives a connection to either worker, on a busy machine to one for long.
        latest = time.monotonic() + 30
        while sent < 60 or (
            not all(counting(worker) for worker in workers) and time.monotonic() < latest
        ):
            statuses.add(server.online("user1").status)
            sent += 1
        reported = [
            sample(
                scrape(server),
                "feature_server_requests_total",
                route="/features/online/<id>",
                method="GET",
                status="200",
            )
            for _ in range(10)
        ]
        folders = {path for worker in workers for path in counting(worker)}

    lines = [line for line in server.output if "listening on" in line]
    assert (statuses, len(lines)) == ({200}, 1)
    assert reported == [sent] * 10
    # Both counted, each into files of its own.
    assert len(workers) == 2
    assert {int(re.findall(r"_(\d+)\.db$", path)[0]) for path in folders} == set(workers)


def counting(worker: int) -> set[str]:
    """The files that a worker counts into."""
    maps = Path(f"/proc/{worker}/maps")
    if not maps.exists():
        pytest.skip("no /proc here")
    return set(re.findall(r"\S+/feature-server-\S+\.db", maps.read_text()))


def test_a_killed_worker_is_replaced_and_its_counts_are_kept_until_the_server_ends(
    filled: Store,
) -> None:
    with filled.server() as server:
        server.online("user1")
        (worker,) = children(server.pid)
        folder = Path(next(iter(counting(worker)))).parent
        kill_worker(server)
        server.online("user1")
        counts = samples_of(scrape(server), "feature_server_requests_total")
        assert folder.is_dir()

    assert counts["GET", "/features/online/<id>", "200"] >= 2
    assert not folder.exists()


def test_a_full_disk_cannot_end_a_worker_that_counts(http: FeatureServer) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no memory to count into here")
    http.online("user1")
    (worker,) = children(http.pid)

    assert counting(worker)
    assert all(path.startswith("/dev/shm/") for path in counting(worker))


def test_nothing_is_left_of_a_killed_server(filled: Store) -> None:
    server = filled.server("--workers", "2")
    workers = children(server.pid)
    until(lambda: server.online("user1").status and all(map(counting, workers)), seconds=30)
    (folder,) = {Path(path).parent for worker in workers for path in counting(worker)}

    server.kill()

    until(lambda: not any(map(alive, workers)), seconds=10)
    server.join()
    assert len(workers) == 2
    assert not folder.exists()
    with pytest.raises(OSError, match="refused"):
        server.get("/health")


def test_the_token_guards_them_and_what_it_refuses_is_counted(filled: Store) -> None:
    with filled.application(token=TOKEN) as http:
        refused = http.get("/metrics")
        scraped = scrape(http, Authorization=f"Bearer {TOKEN}")

    assert refused.status == 401
    assert samples_of(scraped, "feature_server_requests_total") == {("GET", "/metrics", "401"): 1}


def test_openmetrics_is_given_to_those_who_accept_it(counted: Application) -> None:
    answer = counted.get("/metrics", Accept="application/openmetrics-text")

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_the_environment_of_the_caller_is_not_counted_into(filled: Store, tmp_path: Path) -> None:
    old = tmp_path / "of another server"
    old.mkdir()
    assert "PROMETHEUS_MULTIPROC_DIR" not in environment(filled.home, filled.redis.url)
    with filled.server(PROMETHEUS_MULTIPROC_DIR=str(old)) as server:
        server.online("user1")
        scraped = scrape(server)

    assert list(old.iterdir()) == []
    assert samples_of(scraped, "feature_server_requests_total") == {
        ("GET", "/features/online/<id>", "200"): 1
    }
