"""Batches: order and duplicates kept, missing rows in place, one round trip, clear refusals."""

import json
from datetime import date
from http.client import HTTPConnection
from typing import Any

import pytest

from serve.requests.batch import MOST_ROWS
from serve.requests.body import MOST_BYTES
from tests.serve.conftest import BIG, ODD_IDS
from tests.serve.support import (
    NOW,
    PAIRS,
    Application,
    FeatureServer,
    Store,
    commands,
    pair,
)
from tests.support.group import GROUP

DAILY = f"/feature-groups/{GROUP.name}"
PAIR = {"user_id": "user1", "item_id": 1}


def users(*names: str) -> list[dict[str, Any]]:
    return [{"user_id": name} for name in names]


def test_online_keeps_order_and_duplicates_and_marks_the_missing(http: FeatureServer) -> None:
    keys = [PAIR, {"user_id": "nobody", "item_id": 1}, {"user_id": "user1", "item_id": "2"}, PAIR]
    old = {"item_id": 1, "user_id": "old"}

    answer = http.post("/feature-groups/pairs/online", {"keys": [*keys, old]})

    row = ["2024-01-07", 7, 0.5]
    at = "2024-01-08T06:00:00Z"
    assert answer.status == 200
    assert list(answer.body.items()) == [
        ("group", "pairs"),
        ("source", "online"),
        ("as_of", NOW),
        ("columns", ["day", "clicks", "share"]),
        ("rows", [row, [None] * 3, row, row, [None] * 3]),
        ("available_at", [at, None, at, at, None]),
        ("stale", [False, None, False, False, None]),
        ("missing", [None, "unknown_entity", None, None, "expired"]),
    ]


def test_offline_answers_each_row_at_its_own_time(http: FeatureServer) -> None:
    body = {
        "as_of": "2024-01-07T12:00:00Z",
        "features": ["clicks", "day"],
        "keys": [
            PAIR,
            {**PAIR, "as_of": "2024-01-08T12:00:00+02:00"},
            {**PAIR, "as_of": "2024-01-05"},
            {"user_id": "nobody", "item_id": 1},
            {"user_id": "old", "item_id": 1},
            {**PAIR, "item_id": 2},
        ],
    }

    answer = http.post("/feature-groups/pairs/offline", body)

    assert answer.status == 200
    assert list(answer.body.items()) == [
        ("group", "pairs"),
        ("source", "offline"),
        (
            "as_of",
            [
                "2024-01-07T12:00:00Z",
                "2024-01-08T10:00:00Z",
                "2024-01-05T00:00:00Z",
                *["2024-01-07T12:00:00Z"] * 3,
            ],
        ),
        ("columns", ["clicks", "day"]),
        (
            "rows",
            [[6, "2024-01-06"], [7, "2024-01-07"], *[[None, None]] * 3, [6, "2024-01-06"]],
        ),
        (
            "available_at",
            [
                "2024-01-07T06:00:00Z",
                "2024-01-08T06:00:00Z",
                *[None] * 3,
                "2024-01-07T06:00:00Z",
            ],
        ),
        ("stale", [False, False, None, None, None, False]),
        ("missing", [None, None, "not_yet_available", "unknown_entity", "expired", None]),
    ]


@pytest.mark.parametrize("store", ["online", "offline"])
def test_a_batch_says_of_each_row_what_a_lookup_says(http: FeatureServer, store: str) -> None:
    names = ["user1", "nobody", "closed", "nulls", "big", "late", *ODD_IDS]
    body = {"keys": users(*names), **({"as_of": NOW} if store == "offline" else {})}
    ask = http.online if store == "online" else http.offline

    batch = http.post(f"{DAILY}/{store}", body).body

    for number, name in enumerate(names):
        single = ask(name)
        if batch["missing"][number]:
            assert batch["missing"][number] == single.code
            continue
        features = dict(zip(batch["columns"], batch["rows"][number], strict=True))
        assert (features, batch["available_at"][number], batch["stale"][number]) == (
            single.body["features"],
            single.body["available_at"],
            single.body["stale"],
        )
    assert BIG in [row[2] for row in batch["rows"]]


def test_an_empty_batch_is_answered(http: FeatureServer) -> None:
    answer = http.post(f"{DAILY}/online", {"keys": [], "features": ["day"]})

    assert answer.body == {
        "group": GROUP.name,
        "source": "online",
        "as_of": NOW,
        "columns": ["day"],
        "rows": [],
        "available_at": [],
        "stale": [],
        "missing": [],
    }


def test_an_online_batch_is_one_round_trip(filled: Store) -> None:
    with filled.application() as http:
        http.online("user1")  # learns the contract
        with commands(filled.redis) as sent:
            answer = http.post(f"{DAILY}/online", {"keys": users("user1", "big", "nobody")})

    assert answer.body["missing"] == [None, None, "unknown_entity"]
    assert sent == {"mget": 1}


def test_the_largest_batch_is_answered_and_one_more_row_is_not(http: FeatureServer) -> None:
    keys = users(*(f"many{n % 50}" for n in range(MOST_ROWS)))

    answer = http.post(f"{DAILY}/online", {"keys": keys, "features": ["event_count_30d"]})
    refused = http.post(f"{DAILY}/online", {"keys": [*keys, *users("a")]})

    assert answer.body["rows"] == [[n % 50] for n in range(MOST_ROWS)]
    assert "10000" in refused.refused(400, "too_many_rows")


REFUSED: dict[str, tuple[Any, str]] = {
    "no_json": (b"{", "the body is not JSON"),
    "not_utf8": (b'{"keys": [{"user_id": "\xff", "item_id": 1}]}', "the body is not JSON"),
    "deep": (b"[" * 100_000, "the body is not JSON"),
    "empty_body": (b"", "the body is not JSON"),
    "list": ([PAIR], "not a JSON object"),
    "no_keys": ({}, 'send {"keys": [{"user_id": "...", "item_id": "..."}, ...]}'),
    "keys_not_a_list": ({"keys": PAIR}, 'send {"keys"'),
    "unknown_field": ({"keys": [PAIR], "key": 1}, "unknown field 'key'; known: keys, features"),
    "key_not_an_object": ({"keys": [PAIR, "user1"]}, "keys[1] is not an object"),
    "part_missing": ({"keys": [{"user_id": "a"}]}, "keys[0]: key column item_id is missing"),
    "part_unknown": ({"keys": [{**PAIR, "day": "x"}]}, "keys[0] has an unknown field 'day'"),
    "part_empty": ({"keys": [{**PAIR, "user_id": ""}]}, "keys[0]: key column user_id is empty"),
    "part_null": ({"keys": [{**PAIR, "user_id": None}]}, "user_id is not a string"),
    "text_as_number": ({"keys": [{**PAIR, "user_id": 7}]}, "user_id is not a string"),
    "fraction": ({"keys": [{**PAIR, "item_id": 1.0}]}, "item_id is not a string or a whole"),
    "boolean": ({"keys": [{**PAIR, "item_id": True}]}, "item_id is not a string or a whole"),
    "half_a_pair": (b'{"keys": [{"user_id": "\\ud800", "item_id": 1}]}', "is not Unicode"),
    "feature_unknown": ({"keys": [], "features": ["known_at"]}, "unknown feature 'known_at'"),
    "feature_twice": ({"keys": [], "features": ["day", "day"]}, "'day' is named twice"),
    "no_feature": ({"keys": [], "features": []}, "no feature is named"),
    "features_text": ({"keys": [], "features": "day"}, "features is not a list of names"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("store", ["online", "offline"])
def test_a_wrong_body_is_refused_whole(http: FeatureServer, store: str, name: str) -> None:
    body, message = REFUSED[name]

    answer = http.post(f"/feature-groups/pairs/{store}", body)

    assert (answer.status, answer.code) == (400, "bad_request")
    assert message in answer.message
    assert len(answer.message) < 200


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"keys": [PAIR]}, "missing_as_of", "keys[0] has no as_of"),
        ({"keys": [{**PAIR, "as_of": NOW}, PAIR]}, "missing_as_of", "keys[1] has no as_of"),
        ({"keys": [{**PAIR, "as_of": ""}]}, "missing_as_of", "keys[0] has no as_of"),
        ({"keys": [{**PAIR, "as_of": "soon"}]}, "bad_as_of", "keys[0]: as_of 'soon' is not"),
        ({"keys": [PAIR], "as_of": 1704456000}, "bad_as_of", "keys[0]: as_of is not a string"),
        ({"keys": [PAIR], "as_of": "2024-01-09"}, "as_of_in_future", "keys[0]: as_of 2024-01-09"),
        ({"keys": [], "as_of": "soon"}, "bad_as_of", "as_of 'soon' is not"),
        ({"keys": [{**PAIR, "as_of": NOW}], "as_of": 5}, "bad_as_of", "as_of is not a string"),
    ],
)
def test_a_wrong_time_names_its_row(
    http: FeatureServer, body: object, code: str, message: str
) -> None:
    answer = http.post("/feature-groups/pairs/offline", body)

    assert message in answer.refused(400, code)


def test_online_batches_answer_for_now(http: FeatureServer) -> None:
    answer = http.post("/feature-groups/pairs/online", {"keys": [PAIR], "as_of": NOW})

    assert "/feature-groups/pairs/offline" in answer.refused(400, "bad_request")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused(http: FeatureServer, content_type: str) -> None:
    answer = http.post(f"{DAILY}/online", {"keys": []}, content_type)

    assert "Content-Type: application/json" in answer.refused(400, "bad_request")


def test_a_batch_takes_no_parameters(http: FeatureServer) -> None:
    assert http.post(f"{DAILY}/online?features=day", {"keys": []}).code == "bad_request"


def test_a_body_that_is_too_large_is_refused(http: FeatureServer) -> None:
    answer = http.post(f"{DAILY}/online", b" " * (MOST_BYTES + 1))

    assert "larger than" in answer.refused(400, "bad_request")


def test_a_body_may_come_in_chunks_and_may_not_be_larger_then(http: FeatureServer) -> None:
    def send(chunks: list[bytes]) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", http.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        connection.request(
            "POST", f"{DAILY}/online", body=iter(chunks), headers=headers, encode_chunked=True
        )
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body

    fine = send([b'{"keys": [{"user', b'_id": "big"}]}'])
    refused = send([b" " * 2**20] * 17)

    assert (fine[0], fine[1]["missing"]) == (200, [None])
    assert (refused[0], refused[1]["error"]["code"]) == (400, "bad_request")


def test_an_unknown_group_and_other_methods(http: FeatureServer) -> None:
    unknown = http.post("/feature-groups/nope/offline", {"keys": []})
    put = http.get(f"{DAILY}/online", method="PUT")

    assert (unknown.status, unknown.code) == (404, "unknown_group")
    assert (put.status, put.code) == (405, "method_not_allowed")
    assert set(put.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert put.message == "this route answers GET, HEAD and POST only"


def test_nothing_pushed_is_reported_and_not_marked_row_by_row(store: Store) -> None:
    store.publish([pair("a", 1, date(2024, 1, 7))], PAIRS)
    with store.application() as http:
        answer = http.post("/feature-groups/pairs/online", {"keys": [PAIR]})

    assert (answer.status, answer.code) == (503, "not_materialized")


def test_redis_away_is_store_unavailable(filled: Store) -> None:
    with Application(filled.home, "redis://127.0.0.1:1/0") as http:
        answer = http.post(f"{DAILY}/online", {"keys": users("user1")})
        offline = http.post(f"{DAILY}/offline", {"keys": users("user1"), "as_of": NOW})

    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert offline.body["missing"] == [None]
