"""Ids over real HTTP: any characters, exactly as they were sent."""

from urllib.parse import quote

import pytest

from tests.serve.conftest import ODD_IDS
from tests.serve.support import FeatureServer

EVERY = "".join(f"%{byte:02X}" for byte in b"odd/id?#")


@pytest.mark.parametrize("number", range(len(ODD_IDS)), ids=lambda n: ascii(ODD_IDS[n])[:30])
def test_an_odd_id_is_found_in_both_stores(http: FeatureServer, number: int) -> None:
    odd = ODD_IDS[number]

    for answer in (http.online(odd), http.offline(odd)):
        assert answer.status == 200, answer.body
        assert answer.body["user_id"] == odd
        assert answer.body["features"]["event_count_30d"] == number


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        ("a/b", "a/b"),
        ("a%2fb", "a/b"),
        ("%61%2F%62", "a/b"),
        ("/a", "/a"),
        ("a/", "a/"),
        ("//a//b//", "//a//b//"),
        ("%2F/a%2F%2Fb//", "//a//b//"),
        ("..", ".."),
        ("%2e%2E", ".."),
        ("../../health", "../../health"),
        ("a+b", "a+b"),
        ("a:b", "a:b"),
        ("%2541", "%41"),
    ],
)
def test_a_path_is_never_tidied(http: FeatureServer, path: str, odd: str) -> None:
    assert http.get(f"/features/online/{path}").body["user_id"] == odd


def test_an_unknown_odd_id_is_unknown(http: FeatureServer) -> None:
    assert http.get(f"/features/online/{EVERY}").code == "unknown_entity"
    assert http.get(f"/features/offline/{EVERY}?as_of=2024-01-05").code == "unknown_entity"


def test_a_long_unknown_id_is_not_repeated_whole(http: FeatureServer) -> None:
    answer = http.online("y" * 10_000)

    assert answer.code == "unknown_entity"
    assert len(answer.message) < 200


@pytest.mark.parametrize("raw", ["%FF", "a%80b", "%ED%A0%80", "%C0%AF", "%F0%9F%98"])
@pytest.mark.parametrize("route", ["/features/online/{}", "/features/offline/{}?as_of=2024-01-05"])
def test_an_id_that_is_not_utf8_is_a_bad_request(http: FeatureServer, route: str, raw: str) -> None:
    answer = http.get(route.format(raw))

    assert "UTF-8" in answer.refused(400, "bad_request")


@pytest.mark.parametrize(
    "target", ["/features/online/", "/features/offline/?as_of=2024-01-05", "/features/offline/"]
)
def test_an_empty_id_is_a_bad_request(http: FeatureServer, target: str) -> None:
    assert http.get(target).code == "bad_request"


def test_the_longest_path_ends_in_a_clear_status(http: FeatureServer) -> None:
    assert http.online("x" * 60_000).status == 404
    assert http.get("/features/online/" + quote("x" * 70_000)).status == 414
