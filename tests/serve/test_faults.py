"""Stores that go away and come back under a running server."""

import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from materializer.config import Settings
from materializer.online import embedded
from materializer.online.connection import connect
from serve.stores.offline import OFFLINE_TIMEOUT
from serve.stores.online import FEW, MOST_KEYS, ONLINE_TIMEOUT
from tests.serve.support import (
    ROOT,
    Answer,
    Application,
    FeatureServer,
    Store,
    days_of,
    push_all,
    until,
)
from tests.support.group import make_group
from tests.support.server import SERVERS, Server


@pytest.fixture
def store(store: Store) -> Iterator[Store]:
    """Give stores with one entity."""
    store.publish(days_of("user1"))
    store.push()
    yield store
    embedded.stop(Settings(store.home))


@pytest.fixture
def app(store: Store) -> Iterator[Application]:
    with store.application() as made:
        yield made


@pytest.fixture(params=sorted(SERVERS))
def any_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Give each kind of Redis server that is on this machine."""
    running = Server(SERVERS[request.param], tmp_path / "any")
    yield running
    running.close()


@pytest.fixture
def over_any(store: Store, any_server: Server) -> Iterator[FeatureServer]:
    push_all(store.home, any_server.client())
    with FeatureServer(store.home, any_server.url) as server:
        yield server


def assert_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.code) == (503, "store_unavailable")


def timed(http: FeatureServer, target: str) -> tuple[Answer, float]:
    started = time.monotonic()
    answer = http.get(target)
    return answer, time.monotonic() - started


def test_redis_killed_and_started_again(over_any: FeatureServer, any_server: Server) -> None:
    assert over_any.online("user1").status == 200

    any_server.kill()
    for target in ("/features/online/user1", "/features/online/nobody", "/ready"):
        answer, seconds = timed(over_any, target)
        assert_unavailable(answer)
        assert seconds < ONLINE_TIMEOUT
    assert over_any.offline("user1").status == 200
    assert over_any.get("/health").status == 200

    any_server.start()
    until(lambda: over_any.online("user1").status == 200, seconds=5)
    assert over_any.get("/ready").status == 200


def test_redis_restarted_between_two_requests_is_not_noticed(
    over_any: FeatureServer, any_server: Server
) -> None:
    assert over_any.online("user1").status == 200

    any_server.kill()
    any_server.start()

    assert over_any.online("user1").status == 200


def test_a_paused_redis_is_given_up_soon_and_found_again(
    over_any: FeatureServer, any_server: Server
) -> None:
    assert over_any.online("user1").status == 200

    any_server.pause()
    try:
        answer, seconds = timed(over_any, "/features/online/user1")
        assert_unavailable(answer)
        assert seconds < 2 * ONLINE_TIMEOUT
        again, seconds = timed(over_any, "/features/online/user1")
        assert_unavailable(again)
        assert seconds < ONLINE_TIMEOUT / 2
        assert over_any.offline("user1").status == 200
    finally:
        any_server.resume()

    until(lambda: over_any.online("user1").status == 200, seconds=5)


def test_a_paused_redis_does_not_take_the_probes_with_it(
    over_any: FeatureServer, any_server: Server
) -> None:
    stop = threading.Event()

    def insist() -> None:
        while not stop.is_set():
            over_any.online("user1")

    any_server.pause()
    threads = [threading.Thread(target=insist) for _ in range(20)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(2 * ONLINE_TIMEOUT)
        slowest = max(timed(over_any, "/health")[1] for _ in range(20))
    finally:
        stop.set()
        any_server.resume()
        for thread in threads:
            thread.join()

    assert slowest < ONLINE_TIMEOUT


def test_a_redis_paused_before_the_start_is_found_later(store: Store) -> None:
    store.redis.pause()
    with store.server() as http:
        try:
            assert_unavailable(http.online("user1"))
            assert "until then online lookups answer 503" in "".join(http.output)
        finally:
            store.redis.resume()
        until(lambda: http.online("user1").status == 200, seconds=5)


def test_documented_users_may_push_and_look_up(store: Store) -> None:
    page = (ROOT / "docs/how-to/operations.md").read_text()
    for line in re.findall(r"^ACL SETUSER .*$", page, re.MULTILINE):
        store.redis.client().execute_command(*line.split())  # type: ignore[no-untyped-call]
    pusher, server = (
        store.redis.url.replace("://", f"://{user}:secret@") for user in ("pusher", "server")
    )
    store.publish(days_of("user2"))
    with connect(Settings(store.home, redis_url=pusher)) as client:
        push_all(store.home, client)
        push_all(store.home, client)
    with FeatureServer(store.home, server) as http:
        batch = {"keys": [{"user_id": f"user{number}"} for number in range(200)]}
        rows = http.post("/feature-groups/features_daily/online", batch)
        assert (http.online("user2").status, http.online("none").status) == (200, 404)
        assert [http.get("/ready").status, rows.status] == [200, 200]
        assert 'feature_store_up{store="online"} 1.0' in http.get("/metrics").text


def test_a_refused_batch_does_not_keep_anybody_from_single_rows(store: Store) -> None:
    commands = ["+get", "+exists"]
    store.redis.client().acl_setuser(
        "single", enabled=True, passwords=["+pw"], keys=["*"], commands=commands
    )
    url = store.redis.url.replace("://", "://single:pw@")
    batch = {"keys": [{"user_id": f"user{number}"} for number in range(FEW + 1)]}
    with Application(store.home, url) as app:
        for _ in range(3):
            assert_unavailable(app.post("/feature-groups/features_daily/online", batch))
            assert app.online("user1").status == 200


def test_a_large_batch_asks_for_a_thousand_keys_at_a_time(store: Store) -> None:
    client = store.redis.client()
    batch = {"keys": [{"user_id": f"user{number}"} for number in range(2 * MOST_KEYS)]}
    with store.application() as app:
        answer = app.post("/feature-groups/features_daily/online", batch)

    # One more key says whether the group was pushed.
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == 3
    assert [row[1] for row in answer.body["rows"][:2]] == [None, 5]
    assert len(answer.body["rows"]) == 2 * MOST_KEYS


def test_a_killed_embedded_server_is_started_again(store: Store) -> None:
    settings = Settings(store.home)
    with connect(settings) as client:
        push_all(store.home, client)
    with Application(store.home, None) as app:
        assert app.online("user1").status == 200
        embedded.stop(settings)
        until(lambda: app.online("user1").status == 200, seconds=10)


def test_online_answers_go_on_without_the_catalog(app: Application, store: Store) -> None:
    assert app.offline("user1").status == 200
    shutil.move(store.home / "iceberg", store.home / "away")
    (store.home / "iceberg").write_text("not a folder")

    until(lambda: app.offline("user1").status == 503, seconds=10)
    assert_unavailable(app.offline("user1"))
    assert "offline" in app.get("/ready").message
    for _ in range(3):
        assert app.online("user1").status == 200

    (store.home / "iceberg").unlink()
    shutil.move(store.home / "away", store.home / "iceberg")
    until(lambda: app.offline("user1").status == 200, seconds=10)
    assert app.get("/ready").status == 200


def test_a_catalog_connection_that_was_cut_while_idle_is_not_noticed(app: Application) -> None:
    assert app.offline("user1").status == 200
    catalog = app.stores.offline._catalog
    assert isinstance(catalog, SqlCatalog)
    pooled = catalog.engine.raw_connection()
    beneath = pooled.dbapi_connection
    assert beneath is not None
    pooled.close()
    beneath.close()

    assert app.offline("user1").status == 200


def test_a_store_replaced_under_the_server_is_found(app: Application, store: Store) -> None:
    assert app.offline("user1").status == 200
    shutil.rmtree(store.home / "iceberg")
    store.publish(days_of("user2"))

    until(lambda: app.offline("user2").status == 200, seconds=10)


def test_a_new_publish_and_a_changed_registry_are_noticed(app: Application, store: Store) -> None:
    assert app.online("user1").body["stale"] is False

    store.publish(days_of("user1", event_type_counts="9"), make_group(max_age_hours=1))

    until(lambda: app.offline("user1").body["features"]["event_type_counts"] == "9", seconds=5)
    until(lambda: app.online("user1").body["stale"] is True, seconds=15)


def test_a_catalog_that_never_answers_is_given_up(store: Store) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with store.server(
            PYICEBERG_CATALOG__FAR__TYPE="rest",
            PYICEBERG_CATALOG__FAR__URI=uri,
        ) as http:
            answer, seconds = timed(http, "/features/offline/user1?as_of=2024-01-05")
            assert_unavailable(answer)
            assert seconds < OFFLINE_TIMEOUT + 1
            assert_unavailable(http.online("user1"))
            assert http.get("/health").status == 200
            started = time.monotonic()
            assert http.terminate() == 0
            assert time.monotonic() - started < 5
