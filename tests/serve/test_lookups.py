"""The two lookups over HTTP, against a filled offline store and a filled Redis server."""

import threading

import pytest

from tests.serve.conftest import BIG
from tests.serve.support import NOW, FeatureServer, Store, commands

# The README of the project this one grew from shows this answer.
FEATURES = {
    "day": "2024-01-07",
    "event_count_7d": 5,
    "event_count_30d": 15,
    "last_event_days_ago": 0,
    "event_type_counts": "3",
}
SEED_EXAMPLE = {
    "user_id": "user1",
    "as_of": "2024-01-07T12:00:00",
    "features": FEATURES,
    "source": "online",
}


@pytest.mark.parametrize("source", ["online", "offline"])
def test_an_answer_has_the_seed_examples_fields_in_its_order(
    http: FeatureServer, source: str
) -> None:
    answer = http.online("user1") if source == "online" else http.offline("user1")

    assert list(answer.body)[:4] == list(SEED_EXAMPLE)
    assert list(answer.body)[4:] == ["available_at", "stale"]
    assert list(answer.body["features"]) == list(FEATURES)
    for name, value in FEATURES.items():
        assert type(answer.body["features"][name]) is type(value), name
    assert answer.body["source"] == source


def test_online_answers_the_newest_row_and_offline_the_one_that_was_available(
    http: FeatureServer,
) -> None:
    online, offline = http.online("user1"), http.offline("user1", "2024-01-05T12:00:00")

    for answer, source, as_of, day, count, available_at in (
        (online, "online", NOW, "2024-01-07", 17, "2024-01-08T00:00:00Z"),
        (offline, "offline", "2024-01-05T12:00:00Z", "2024-01-04", 14, "2024-01-05T00:00:00Z"),
    ):
        assert answer.status == 200
        assert answer.body == {
            **SEED_EXAMPLE,
            "as_of": as_of,
            "features": {**FEATURES, "day": day, "event_count_30d": count},
            "source": source,
            "available_at": available_at,
            "stale": False,
        }


@pytest.mark.parametrize(
    ("as_of", "day"),
    [
        ("2024-01-05T00:00:00Z", "2024-01-04"),
        ("2024-01-04T23:59:59.999999Z", "2024-01-03"),
        ("2024-01-05", "2024-01-04"),
        ("2024-01-05T01:00:00+02:00", "2024-01-03"),
        ("2024-01-04T22:00:00-02:00", "2024-01-04"),
    ],
)
def test_a_day_is_visible_from_its_very_midnight(http: FeatureServer, as_of: str, day: str) -> None:
    assert http.offline("user1", as_of).body["features"]["day"] == day


@pytest.mark.parametrize(
    ("as_of", "reported"),
    [
        ("2024-01-05T12:00:00+02:00", "2024-01-05T10:00:00Z"),
        ("2024-01-05T12:00:00.250000Z", "2024-01-05T12:00:00.250000Z"),
        ("2024-01-05", "2024-01-05T00:00:00Z"),
        ("2024-01-05 12:00", "2024-01-05T12:00:00Z"),
    ],
)
def test_as_of_is_reported_in_utc(http: FeatureServer, as_of: str, reported: str) -> None:
    assert http.offline("user1", as_of).body["as_of"] == reported


def test_now_is_not_the_future(http: FeatureServer) -> None:
    assert http.offline("user1", NOW).body["features"] == http.online("user1").body["features"]


@pytest.mark.parametrize(
    ("as_of", "stale"), [("2024-01-05T06:00:00Z", False), ("2024-01-05T06:00:00.000001Z", True)]
)
def test_offline_is_stale_from_max_age_after_available_at(
    http: FeatureServer, as_of: str, stale: bool
) -> None:
    # The last row of this user is of 2024-01-03, available at the midnight after; 30 hours.
    assert http.offline("closed", as_of).body["stale"] is stale


def test_online_is_stale_when_the_newest_row_is_old(http: FeatureServer) -> None:
    answer = http.online("closed").body

    assert (answer["available_at"], answer["stale"]) == ("2024-01-04T00:00:00Z", True)


@pytest.mark.parametrize("source", ["online", "offline"])
def test_integers_are_exact_and_nulls_are_reported(http: FeatureServer, source: str) -> None:
    ask = http.online if source == "online" else http.offline

    assert ask("big").body["features"]["event_count_30d"] == BIG
    assert ask("nulls").body["features"]["last_event_days_ago"] is None


def test_columns_kept_offline_are_not_reported(http: FeatureServer) -> None:
    assert "max_event_ts" not in str(http.offline("user1").body)


def test_answers_are_compact_json_that_nothing_may_keep(http: FeatureServer) -> None:
    answer = http.online("user1")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"etag", "last-modified", "expires", "set-cookie"}.isdisjoint(answer.headers)
    assert int(answer.headers["content-length"]) < 260


def test_head_is_answered_without_a_body(http: FeatureServer) -> None:
    answer = http.get("/features/online/user1", method="HEAD")

    assert (answer.status, answer.body) == (200, None)


def test_probes(http: FeatureServer) -> None:
    assert http.get("/health").body == {"status": "ok"}
    assert http.get("/ready").body == {"status": "ready"}


def test_online_costs_one_round_trip(filled: Store, http: FeatureServer) -> None:
    http.online("user1")  # learns the contract

    with commands(filled.redis) as sent:
        for _ in range(10):
            http.online("user1")

    assert sent == {"get": 10}


def test_many_threads_get_each_their_own_answer(http: FeatureServer) -> None:
    wrong: list[object] = []

    def work(first: int) -> None:
        for n in range(first, first + 30):
            user = f"many{n % 50}"
            for answer in (http.online(user), http.offline(user)):
                got = (answer.status, answer.body.get("user_id"))
                count = answer.body.get("features", {}).get("event_count_30d")
                if (*got, count) != (200, user, n % 50):
                    wrong.append(answer)

    threads = [threading.Thread(target=work, args=(n * 7,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
