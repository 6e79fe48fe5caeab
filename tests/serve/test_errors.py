"""Every error answer: its code, its status, its one shape."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from materializer.config import Settings
from materializer.online.connection import connect
from materializer.registry import FeatureGroup
from serve.errors import CODES
from tests.serve.support import (
    PAIRS,
    Application,
    FeatureServer,
    Store,
    days_of,
    pair,
    publish,
    push_all,
    until,
)
from tests.support.group import GROUP, make_group
from tests.support.server import free_port

# Answered by the server on filled stores.
ASKED = {
    "missing_as_of": ["/features/offline/user1", "/features/offline/user1?as_of="],
    "bad_as_of": [
        "/features/offline/user1?as_of=yesterday",
        "/features/offline/user1?as_of=2024-02-30",
        "/features/offline/user1?as_of=1704456000",
        "/features/offline/user1?as_of=2024-01-05T25:00:00Z",
        "/features/offline/user1?as_of=2024-01-05T12:00:00+02:00",
        "/features/offline/user1?as_of=%FF",
        "/features/offline/user1?as_of=0001-01-01T00:00:00%2B02:00",
        "/features/offline/user1?as_of=2024-01-05&as_of=2024-01-06",
    ],
    "as_of_in_future": [
        "/features/offline/user1?as_of=2024-01-08T12:00:00.000001Z",
        "/features/offline/user1?as_of=9999-12-31",
        "/features/offline/user1?as_of=2024-01-08T12:00:00-00:01",
    ],
    "bad_request": [
        "/features/online/",
        "/features/online/%FF",
        "/features/online/user1?as_of=2024-01-05",
    ],
    "unknown_entity": [
        "/features/online/nobody",
        "/features/offline/nobody?as_of=2024-01-05",
        "/features/online/USER1",
    ],
    "not_yet_available": [
        "/features/offline/user1?as_of=2024-01-01T23:59:59Z",
        "/features/offline/late?as_of=2024-01-05",
        "/features/offline/user1?as_of=0001-01-01",
    ],
    "unknown_route": [
        "/",
        "/nope",
        "/features",
        "/features/online",
        "/features/nearline/user1",
        "/features//online/user1",
        "/metric",
        "/%FF",
    ],
}


@pytest.mark.parametrize(
    ("code", "target"), [(code, target) for code, some in ASKED.items() for target in some]
)
def test_an_error_has_its_code_and_the_one_shape(
    http: FeatureServer, code: str, target: str
) -> None:
    answer = http.get(target)

    assert (answer.code, answer.status) == (code, CODES[code][0])
    assert answer.message
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    "target", ["/features/online/user1", "/features/offline/user1?as_of=2024-01-05", "/health"]
)
def test_other_methods_are_not_allowed(http: FeatureServer, method: str, target: str) -> None:
    answer = http.get(target, method=method)

    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_a_lost_plus_is_explained(http: FeatureServer) -> None:
    lost = http.get("/features/offline/user1?as_of=2024-01-05T12:00:00+02:00")
    other = http.get("/features/offline/user1?as_of=noon")

    assert "%2B" in lost.message
    assert "%2B" not in other.message


def test_a_message_does_not_repeat_a_long_as_of(http: FeatureServer) -> None:
    assert len(http.get("/features/offline/user1?as_of=" + "9" * 5000).message) < 200


def test_nothing_published_then_nothing_pushed_then_ready(store: Store) -> None:
    with store.application() as http:
        for target in ("/ready", "/features/online/a", "/features/offline/a?as_of=2024-01-05"):
            empty = http.get(target)
            assert "materializer publish" in empty.refused(503, "not_materialized")
        assert http.get("/health").status == 200

        store.publish(days_of("a"))
        until(lambda: http.offline("a").status == 200, seconds=5)
        half = http.get("/ready")
        assert (half.status, half.code) == (503, "not_materialized")
        assert "online" in half.message
        assert "offline" not in half.message
        assert http.online("a").code == "not_materialized"
        assert "materializer push" in http.online("a").message

        store.push()
        assert http.get("/ready").status == 200
        assert http.online("a").status == 200
        assert http.online("b").code == "unknown_entity"

        store.redis.client().flushall()
        assert http.online("a").code == "not_materialized"
        assert http.get("/ready").code == "not_materialized"


def test_a_row_past_its_ttl_is_expired(store: Store) -> None:
    short = make_group(ttl_days=2)
    store.publish([*days_of("old", last=date(2024, 1, 5)), *days_of("new")], short)
    store.push(short, now="2024-01-07T12:00:00Z")
    # The clock of the tests is years behind the one by which Redis drops keys.
    store.push(make_group())
    with store.application() as http:
        # Available at 2024-01-06T00:00:00Z, and two days later no more.
        last = http.offline("old", "2024-01-07T23:59:59.999999Z")
        over = http.offline("old", "2024-01-08T00:00:00Z")
        online = (http.online("new").status, http.online("old").code)

    assert last.status == 200
    assert (over.status, over.code) == (404, "expired")
    assert online == (200, "expired")


def test_a_project_without_the_routes_group_is_reported(store: Store) -> None:
    other = make_group(key_prefix="features:daily")
    store.publish(days_of("a"), other)
    with store.application() as http:
        answers = [http.online("a"), http.offline("a", "2024-01-05")]
        ready = [http.get("/ready").status]
        store.push(other)
        ready.append(http.get("/ready").status)

    for answer in answers:
        assert GROUP.name in answer.refused(404, "unknown_group")
    # Ready is the server, for the groups that there are.
    assert ready == [503, 200]


def test_a_new_group_does_not_make_the_server_unready(store: Store) -> None:
    store.publish(days_of("a"))
    store.push()
    store.publish([pair("a", 1, date(2024, 1, 5))], PAIRS)
    with store.application() as http:
        answers = [http.get("/ready").status, http.online("a").status]
        new = http.get("/feature-groups/pairs/online?user_id=a&item_id=1")

    assert answers == [200, 200]
    assert new.code == "not_materialized"


def test_a_store_whose_groups_are_offline_only_is_ready(store: Store) -> None:
    store.publish(days_of("a"), make_group(online=False))
    with store.application() as http:
        assert http.get("/ready").status == 200


def published(store: Store) -> FeatureGroup:
    with store.application() as http:
        return http.stores.directory.named(GROUP.name)


@pytest.mark.parametrize("changed", [{"name": "visits"}, {"store_id": "another"}])
def test_a_row_of_another_group_or_store_is_no_answer(
    store: Store, changed: dict[str, Any]
) -> None:
    store.publish(days_of("a"))
    store.push()
    client = store.redis.client()
    other = replace(published(store), **changed).contract
    _, *values = json.loads(client.get("features:a") or b"")
    client.set(f"features:_contract:{other.id}", other.text)
    client.set("features:a", json.dumps([other.id, *values]))
    with store.application() as http:
        by_keys = "/feature-groups/features_daily/online"
        answers = [
            http.online("a"),
            http.get(f"{by_keys}?user_id=a"),
            http.post(by_keys, {"keys": [{"user_id": "a"}]}),
        ]

        # Without a row, another store's push does not make this one's users unknown.
        meta = json.loads(client.get("features:_meta:features_daily") or b"")
        meta["store_id"] = "another"
        client.set("features:_meta:features_daily", json.dumps(meta))
        missing = [
            http.online("nobody"),
            http.post(by_keys, {"keys": [{"user_id": "nobody"}]}),
            http.get("/ready"),
        ]

    assert [(answer.status, answer.code) for answer in missing] == [(503, "not_materialized")] * 3
    assert [(answer.status, answer.code) for answer in answers] == [(503, "not_materialized")] * 3
    assert {answer.message for answer in answers} == {
        f"features_daily: the online store has a row of group {other.group} of store "
        f"{other.store_id} in its place; run: materializer push, which says whose keys these are"
    }


def test_a_value_that_is_not_ours_is_an_internal_error(store: Store) -> None:
    store.publish(days_of("a"))
    client = store.redis.client()
    push_all(store.home, client)
    client.set("features:text", "hello")
    client.hset("features:hash", "field", "value")
    client.set("features:short", f'["{published(store).contract.id}",1]')
    with store.application() as http:
        answers = [http.online(user) for user in ("text", "hash", "short")]
        fine = http.online("a").status

    assert [(answer.status, answer.code) for answer in answers] == [(500, "internal_error")] * 3
    assert "Traceback" not in str(answers)
    assert fine == 200


def test_a_lost_contract_needs_a_push(store: Store) -> None:
    store.publish(days_of("a"))
    store.push()
    store.redis.client().delete(f"features:_contract:{published(store).contract.id}")
    with store.application() as http:
        answer = http.online("a")

    assert "push --all" in answer.refused(503, "not_materialized")


def test_no_redis_is_store_unavailable_at_once(filled: Store) -> None:
    with Application(filled.home, f"redis://user:secret@127.0.0.1:{free_port()}/0") as http:
        answers = [http.online("user1"), http.get("/ready")]
        offline = http.offline("user1").status

    for answer in answers:
        assert (answer.status, answer.code) == (503, "store_unavailable")
        assert "online store redis://127.0.0.1" in answer.message
        assert "secret" not in answer.message
    assert offline == 200


def test_every_code_is_tested() -> None:
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert [code for code in CODES if f'"{code}"' not in text] == []


def test_the_embedded_server_is_used_without_redis_url(home: Path) -> None:
    publish(home, days_of("a"))
    with connect(Settings(home)) as client:
        push_all(home, client)
    with FeatureServer(home, None) as http:
        answer = http.online("a")
        output = "".join(http.output)

    assert answer.status == 200
    assert "REDIS_URL is not set" in output
