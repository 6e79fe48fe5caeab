"""Lookups by key columns: any group, composite keys, chosen features, and what is refused."""

from datetime import date
from urllib.parse import quote

import pytest

from tests.serve.conftest import ODD_IDS
from tests.serve.support import (
    NOW,
    PAIRS,
    FeatureServer,
    Store,
    days_of,
    pair,
)
from tests.support.group import GROUP, make_group

DAILY = f"/feature-groups/{GROUP.name}"
AS_OF = "as_of=2024-01-08T12:00:00Z"


@pytest.mark.parametrize(
    ("target", "as_of", "day"),
    [
        ("online?item_id=2&user_id=user1", NOW, 7),
        (
            "offline?user_id=user1&item_id=2&as_of=2024-01-08T05:59:59%2B00:00",
            "2024-01-08T05:59:59Z",
            6,
        ),
    ],
)
def test_a_composite_key_is_answered(
    http: FeatureServer, target: str, as_of: str, day: int
) -> None:
    answer = http.get(f"/feature-groups/pairs/{target}")

    assert answer.status == 200
    assert list(answer.body.items()) == [
        ("user_id", "user1"),
        ("item_id", "2"),
        ("as_of", as_of),
        ("features", {"day": f"2024-01-0{day}", "clicks": day, "share": 0.5}),
        ("source", target.partition("?")[0]),
        ("available_at", f"2024-01-0{day + 1}T06:00:00Z"),
        ("stale", False),
    ]


@pytest.mark.parametrize("query", ["user_id=user1", "user_id=nobody"])
def test_the_group_of_the_short_routes_answers_the_same_there(
    http: FeatureServer, query: str
) -> None:
    user = query.partition("=")[2]

    assert http.get(f"{DAILY}/online?{query}").body == http.online(user).body
    assert http.get(f"{DAILY}/offline?{query}&{AS_OF}").body == http.offline(user).body


@pytest.mark.parametrize("number", range(len(ODD_IDS)), ids=lambda n: ascii(ODD_IDS[n])[:30])
def test_an_odd_id_is_found_in_both_stores(http: FeatureServer, number: int) -> None:
    query = f"user_id={quote(ODD_IDS[number], safe='')}&item_id={number}"

    for target in (f"online?{query}", f"offline?{query}&{AS_OF}"):
        answer = http.get(f"/feature-groups/pairs/{target}")
        assert (answer.status, answer.body["user_id"]) == (200, ODD_IDS[number])


@pytest.mark.parametrize("target", ["online?", f"offline?{AS_OF}&"])
def test_features_are_reported_as_chosen_and_in_that_order(
    http: FeatureServer, target: str
) -> None:
    answer = http.get(f"{DAILY}/{target}user_id=user1&features=event_count_30d,day")

    assert list(answer.body["features"].items()) == [("event_count_30d", 17), ("day", "2024-01-07")]


KEY = "user_id=user1&item_id=1"
REFUSED = {
    "user_id=user1": "key column item_id is missing; send ?user_id=...&item_id=...",
    "": "key column user_id is missing",
    "user_id=user1&item_id=": "key column item_id is empty",
    "user_id=user1&item_id": "key column item_id is empty",
    f"{KEY}&item_id=2": "key column item_id is given 2 times",
    f"{KEY}&item=2": "unknown parameter 'item'; send ?user_id=...&item_id=...",
    f"{KEY}&features=": "unknown feature ''; features of pairs: day, clicks, share",
    f"{KEY}&features=clicks,known_at": "unknown feature 'known_at'; features of pairs: day, clicks",
    f"{KEY}&features=day,day": "feature 'day' is named twice",
    f"{KEY}&features=day&features=clicks": "features is given twice",
    "user_id=%FF&item_id=1": "not UTF-8",
    "user_id=%ED%A0%80&item_id=1": "not UTF-8",
    "&".join(["item_id=1"] * 200): "more than 100 parameters",
}


@pytest.mark.parametrize("query", REFUSED)
@pytest.mark.parametrize("target", ["online?", f"offline?{AS_OF}&"])
def test_a_wrong_query_is_answered_with_what_to_send(
    http: FeatureServer, target: str, query: str
) -> None:
    answer = http.get(f"/feature-groups/pairs/{target}{query}")

    assert (answer.status, answer.code) == (400, "bad_request")
    assert REFUSED[query] in answer.message
    assert len(answer.message) < 250


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("pairs/online?user_id=user1&item_id=3", "unknown_entity"),
        ("pairs/online?user_id=user1&item_id=01", "unknown_entity"),
        ("pairs/online?user_id=user1&item_id=one", "unknown_entity"),
        ("pairs/offline?user_id=user1&item_id=01&as_of=2024-01-08", "unknown_entity"),
        ("pairs/offline?user_id=user1&item_id=1&as_of=2024-01-05", "not_yet_available"),
        ("pairs/offline?user_id=old&item_id=1&as_of=2024-01-06T06:00:00Z", "expired"),
        ("pairs/online?user_id=old&item_id=1", "expired"),
        ("pairs/offline?user_id=user1&item_id=1", "missing_as_of"),
        ("pairs/offline?user_id=user1&item_id=1&as_of=soon", "bad_as_of"),
        ("pairs/offline?user_id=user1&item_id=1&as_of=2025-01-01", "as_of_in_future"),
        ("pairs/online?user_id=user1&item_id=1&as_of=2024-01-08", "bad_request"),
        ("nope/online?user_id=user1", "unknown_group"),
        ("nope/offline?user_id=user1", "unknown_group"),
    ],
)
def test_a_miss_and_a_wrong_time_have_the_codes_of_the_short_routes(
    http: FeatureServer, target: str, code: str
) -> None:
    assert http.get(f"/feature-groups/{target}").code == code


def test_a_group_that_is_kept_offline_is_not_looked_up_online(store: Store) -> None:
    offline_only = make_group(online=False)
    store.publish(days_of("a"), offline_only)
    with store.application() as http:
        answer = http.get(f"{DAILY}/online?user_id=a")

    assert "online: false" in answer.refused(400, "bad_request")


def test_a_group_that_was_not_pushed_yet_says_so(store: Store) -> None:
    store.publish([pair("a", 1, date(2024, 1, 7))], PAIRS)
    with store.application() as http:
        answer = http.get("/feature-groups/pairs/online?user_id=a&item_id=1")

    assert "materializer push" in answer.refused(503, "not_materialized")
