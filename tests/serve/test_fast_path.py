"""The fast path in front of Flask: to any request the same bytes, and the same counts."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materializer.config import Settings, parse_time
from materializer.online import codec
from serve import create_app
from serve.fast_path import FastPath
from serve.routes.metrics import metrics_of
from serve.stores.stores import Stores
from tests.serve.conftest import ODD_IDS
from tests.serve.support import (
    NOW,
    PAIRS,
    Store,
    days_of,
    pair,
)
from tests.support.group import make_group
from tests.support.profile import examples

TOKEN = "secret-Token.1~2+3/4=="
SHORT = "/features/online/"
GROUP_ROUTE = "/feature-groups/features_daily/online"
PAIRS_ROUTE = "/feature-groups/pairs/online"
# WSGI names them without HTTP_.
CGI = ("content_type", "content_length")
COUNTED = ("feature_server_requests", "feature_server_misses", "feature_server_request_seconds")


class Answered(NamedTuple):
    """What a WSGI application answered."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Ways:
    """One application sent over the short way, and another of the same stores sent without."""

    def __init__(self, home: Path, url: str, *, token: str | None = None, now: str = NOW) -> None:
        self.apps: list[Flask] = []
        self.stores: list[Stores] = []
        for _ in range(2):
            self.stores.append(Stores(Settings(home, parse_time(now), url)))
            self.apps.append(create_app(stores=self.stores[-1], token=token))
        short, long = (app.wsgi_app for app in self.apps)
        assert isinstance(short, FastPath)
        assert isinstance(long, FastPath)
        self._short, self._long = short, long
        self.taken = 0
        self._left = short.flask

    def both(
        self, target: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[Answered, Answered]:
        self.taken += 1

        def left(sent: Any, start: Any) -> Any:
            self.taken -= 1
            return self._left(sent, start)

        self._short.flask = left
        return (
            call(self._short, request(target, method, headers, body)),
            call(self._long.flask, request(target, method, headers, body)),
        )

    def same(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answered:
        short, long = self.both(target, method, body, **headers)
        assert short == long
        return short

    def batch(self, body: bytes, target: str = GROUP_ROUTE, **headers: str) -> Answered:
        """Post a body as clients do; headers come over theirs."""
        sent = {"content_type": "application/json", "content_length": str(len(body))}
        return self.same(target, "POST", body, **{**sent, **headers})

    def counts(self) -> list[dict[tuple[str, ...], float]]:
        return [counts_of(app) for app in self.apps]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.stores:
            one.close()


def request(target: str, method: str, headers: dict[str, str], body: bytes = b"") -> dict[str, Any]:
    path, _, query = target.partition("?")
    made = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        # As a server has it: the bytes of the path, each as one character.
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "HTTP_HOST": "127.0.0.1:8000",
        **{
            name.upper() if name in CGI else f"HTTP_{name.upper()}": value
            for name, value in headers.items()
        },
    }
    return {name: value for name, value in made.items() if value is not None}


def call(app: Any, sent: dict[str, Any]) -> Answered:
    reported: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
        reported[:] = [status, headers]

    parts = app(sent, start)
    body = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    return Answered(reported[0], reported[1], body)


def counts_of(app: Flask) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics_of(app).registry().collect()
        if family.name in COUNTED
        for sample in family.samples
        if sample.name.endswith(("_total", "_count"))
    }


@pytest.fixture(scope="module")
def shared_ways(filled: Store) -> Iterator[Ways]:
    with Ways(filled.home, filled.redis.url) as made:
        yield made


@pytest.fixture
def ways(shared_ways: Ways) -> Ways:
    """Give both ways, with nothing taken yet."""
    shared_ways.taken = 0
    return shared_ways


@pytest.mark.parametrize(
    "user", [*ODD_IDS, "user1", "nulls", "big", "closed", "nobody", "é-nobody"], ids=ascii
)
def test_every_id_is_answered_the_same_and_the_short_way(ways: Ways, user: str) -> None:
    sent = quote(user, safe="")
    answers = [
        ways.same(f"{SHORT}{sent}"),
        ways.same(f"{SHORT}{''.join(f'%{byte:02x}' for byte in user.encode())}"),
        ways.same(f"{GROUP_ROUTE}?user_id={sent}"),
        ways.same(f"{PAIRS_ROUTE}?item_id=3&user_id={sent}"),
    ]

    assert ways.taken == len(answers)
    assert {answer.status for answer in answers} <= {"200 OK", "404 NOT FOUND"}


@pytest.mark.parametrize(
    "query",
    [
        "user_id=user1&features=event_count_7d",
        "features=event_type_counts,day&user_id=user1",
        "user_id=nulls&features=last_event_days_ago",
        "user_id=a+b",
        "user_id=%75ser1",
        "user%5Fid=user1",
        "user_id=user1&user_id=user1",
        "user_id=user1&features=nonsense",
        "user_id=user1&features=day,day",
        "user_id=user1&features=",
        "user_id=user1&features=day&features=day",
        "user_id=user1&other=1",
        "user_id=user1&as_of=2024-01-05",
        "user_id=user1&as_of=",
        "user_id=user1&",
        "user_id=user1;other",
        "user_id=",
        "user_id",
        "user_id=%FF",
        "user_id=\xff",
        "",
        "&" * 200,
        "a=1&" * 200,
    ],
)
def test_every_query_is_answered_the_same(ways: Ways, query: str) -> None:
    ways.same(f"{GROUP_ROUTE}?{query}")
    ways.same(f"{PAIRS_ROUTE}?{query}&item_id=1")


@pytest.mark.parametrize(
    "target",
    [
        SHORT,
        "/features/online",
        "//features/online/user1",
        "/features//online/user1",
        f"{SHORT}%FF",
        f"{SHORT}user1%C3",
        f"{SHORT}user1?",
        f"{SHORT}user1?as_of=2024-01-05",
        f"{SHORT}user1?other=1",
        f"{SHORT}user1?%FF",
        "/features/%6Fnline/user1",
        "/features/online%2Fuser1",
        "/feature-groups/pairs/online?user_id=old&item_id=1",
        "/feature-groups/pairs/online?user_id=user1&item_id=01",
        "/feature-groups/features%5Fdaily/online?user_id=user1",
        "/feature-groups/features_daily/online/?user_id=user1",
        "/feature-groups/features_daily/online%0A?user_id=user1",
        "/feature-groups/features_daily%0A/online?user_id=user1",
        "/feature-groups/nothing/online?user_id=user1",
        "/feature-groups//online?user_id=user1",
        "/feature-groups/%FF/online?user_id=user1",
        "/feature-groups/../online?user_id=user1",
        "/feature-groups/a/b/online?user_id=user1",
        "/health",
        "/nothing",
        "",
    ],
)
def test_every_path_is_answered_the_same(ways: Ways, target: str) -> None:
    ways.same(target)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW", "get"])
@pytest.mark.parametrize("target", [f"{SHORT}user1", f"{GROUP_ROUTE}?user_id=user1"])
def test_every_method_is_answered_the_same(ways: Ways, target: str, method: str) -> None:
    ways.same(target, method)


@pytest.mark.parametrize(
    "host", [None, "", "a" * 64, "a..b", ".a", "a.", "é", "[::1]:8000", "localhost", "a b", "a:b"]
)
def test_every_host_is_answered_the_same(ways: Ways, host: str | None) -> None:
    ways.same(f"{SHORT}user1", host=host)  # type: ignore[arg-type]


def test_a_request_for_a_web_socket_is_answered_the_same(ways: Ways) -> None:
    answer = ways.same(f"{SHORT}user1", upgrade="websocket", connection="Upgrade")

    assert answer.status == "400 BAD REQUEST"


@given(text=st.text(max_size=30), raw=st.binary(max_size=10), query=st.text(max_size=20))
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_is_sent_is_answered_the_same(
    ways: Ways, text: str, raw: bytes, query: str
) -> None:
    sent = quote(text.encode("utf-8", "surrogatepass"), safe="")
    ways.same(f"{SHORT}{sent}{quote_from_bytes(raw)}")
    ways.same(f"{GROUP_ROUTE}?user_id={sent}&{quote(query, safe='&=')}")
    ways.same(f"/feature-groups/{sent}/online?{quote(query, safe='&=')}")


def keys(*users: object, **more: object) -> bytes:
    """Write the body of a batch."""
    return json.dumps({"keys": [{"user_id": user} for user in users], **more}).encode()


@pytest.mark.parametrize(
    "body",
    [
        keys(),
        keys("user1"),
        keys("user1", "nobody", "user1", "closed", "nulls", "big"),
        keys(*ODD_IDS),
        json.dumps(json.loads(keys(*ODD_IDS)), ensure_ascii=False).encode(),
        keys("user1", features=["event_count_7d", "day"]),
        keys("user1", features=None),
    ],
)
def test_every_plain_batch_is_answered_the_same_and_the_short_way(ways: Ways, body: bytes) -> None:
    assert ways.batch(body).status == "200 OK"
    assert ways.taken == 1
    assert ways.counts()[0] == ways.counts()[1]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"7", b'"keys"', b"\xff", b"{}", b'{"keys":1}', b"[" * 10_000),
        *(keys(1), keys(""), keys(None), keys("\ud800"), keys("user1", other=1)),
        *(keys("user1", as_of="2024-01-05"), keys("user1", features=["none"]), keys("user1") * 2),
        *(keys("user1", features=[]), keys("user1", features="day"), keys(*["user1"] * 10_001)),
        b'{"keys":[{"user_id":"user1","item_id":"1"},{"user_id":"user1"}]}',
    ],
)
def test_every_other_batch_is_answered_the_same(ways: Ways, body: bytes) -> None:
    for target in (GROUP_ROUTE, PAIRS_ROUTE, "/feature-groups/nothing/online"):
        assert ways.batch(body, target).status in ("400 BAD REQUEST", "404 NOT FOUND")
    assert ways.taken == 0
    assert ways.counts()[0] == ways.counts()[1]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (GROUP_ROUTE, {"content_type": "text/plain"}),
        (GROUP_ROUTE, {"content_type": "application/json; charset=utf-8"}),
        (GROUP_ROUTE, {"content_type": "application/vnd.it+json"}),
        (GROUP_ROUTE, {"content_type": ""}),
        (GROUP_ROUTE, {"content_length": "5"}),
        (GROUP_ROUTE, {"content_length": "5000"}),
        (GROUP_ROUTE, {"content_length": "0"}),
        (GROUP_ROUTE, {"content_length": "-1"}),
        (GROUP_ROUTE, {"content_length": "\u0661"}),
        (GROUP_ROUTE, {"content_length": ""}),
        (GROUP_ROUTE, {"content_length": str(2**40)}),
        (GROUP_ROUTE, {"transfer_encoding": "chunked"}),
        (GROUP_ROUTE, {"upgrade": "websocket", "connection": "Upgrade"}),
        (f"{GROUP_ROUTE}?a=b", {}),
        (f"{GROUP_ROUTE}/", {}),
        (f"{SHORT}user1", {}),
        ("/feature-groups/features_daily/offline", {}),
    ],
)
def test_a_batch_sent_in_an_odd_way_is_answered_the_same(
    ways: Ways, target: str, headers: dict[str, str]
) -> None:
    ways.batch(keys("user1", "nobody"), target, **headers)

    assert ways.taken == 0
    assert ways.counts()[0] == ways.counts()[1]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", f"Bearer {TOKEN}", f"bearer   {TOKEN} ", f"Bearer {TOKEN}x", TOKEN, "é"],
)
def test_every_token_is_answered_the_same(filled: Store, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    targets = (f"{SHORT}user1", f"{GROUP_ROUTE}?user_id=user1", f"{SHORT}nobody", SHORT)

    with Ways(filled.home, filled.redis.url, token=TOKEN) as ways:
        answers = [ways.same(target, "GET", b"", **headers) for target in targets]
        answers.append(ways.batch(keys("user1"), **headers))

    is_right = header is not None and header.split() in (["Bearer", TOKEN], ["bearer", TOKEN])
    assert ways.taken == (4 if is_right else 0)
    assert all((answer.status == "401 UNAUTHORIZED") != is_right for answer in answers)
    assert ways.counts()[0] == ways.counts()[1]


@pytest.mark.parametrize("now", ["2024-01-09T06:00:00Z", "2024-01-09T06:00:00.000001Z"])
def test_a_row_that_grew_stale_is_reported_the_same(filled: Store, now: str) -> None:
    with Ways(filled.home, filled.redis.url, now=now) as ways:
        answer = ways.same(f"{SHORT}user1")

    assert (b'"stale":true' in answer.body) is ("." in now)
    assert ways.taken == 1


def test_both_ways_count_the_same(filled: Store) -> None:
    targets = [f"{SHORT}user1", f"{SHORT}nobody", f"{SHORT}%FF", SHORT, "/nothing", "/health"]
    targets += [f"{GROUP_ROUTE}?user_id={user}" for user in ("user1", "nobody", "")]
    targets += [f"{PAIRS_ROUTE}?user_id=old&item_id=1", "/feature-groups/nothing/online?a=b"]
    with Ways(filled.home, filled.redis.url) as ways:
        for target in targets * 3:
            for method in ("GET", "HEAD", "POST"):
                ways.both(target, method)

    short, long = ways.counts()

    assert short == long
    assert short["feature_server_requests_total", "/features/online/<id>", "GET", "200"] == 3
    assert short["feature_server_misses_total", "features_daily", "online", "unknown_entity"] == 12
    assert ways.taken == 15


def test_a_store_that_is_away_is_reported_the_same(store: Store) -> None:
    store.publish(days_of("user1"))
    store.push()
    target = f"{SHORT}user1"
    with Ways(store.home, store.redis.url) as ways:
        assert ways.same(target).status == "200 OK"

        store.redis.kill()
        for _ in range(2):
            assert ways.same(target).status == "503 SERVICE UNAVAILABLE"
            assert ways.batch(keys("user1")).status == "503 SERVICE UNAVAILABLE"

    short, long = ways.counts()
    assert short == long


@pytest.fixture
def own_ways(store: Store) -> Iterator[Ways]:
    """Give both ways of stores of the test's own."""
    with Ways(store.home, store.redis.url) as made:
        yield made


def test_what_is_not_ours_is_reported_the_same(own_ways: Ways, store: Store) -> None:
    ways, client = own_ways, store.redis.client()
    stays = replace(PAIRS, ttl_days=None)
    store.publish(days_of("user1"), retired := make_group(deprecation_date="2024-06-01T00:00:00Z"))
    store.publish([pair("user1", 1, date(2024, 1, 7))], stays)
    target, other = f"{SHORT}user1", f"{PAIRS_ROUTE}?user_id=user1&item_id=1"

    assert ways.same(target).status == "503 SERVICE UNAVAILABLE"  # never pushed
    store.push(retired)
    assert dict(ways.same(target).headers)["Deprecation"] == "@1717200000"
    assert dict(ways.batch(keys("user1")).headers)["Deprecation"] == "@1717200000"
    assert ways.same(other).status == "503 SERVICE UNAVAILABLE"
    store.push(stays)
    assert ways.same(other).status == "200 OK"
    for value in ("", "no JSON", "[]", "[1]", '["none",1]', "[1", "\x00"):
        client.set(codec.key("features", ["user1"]), value)
        broken = ("500 INTERNAL SERVER ERROR", "503 SERVICE UNAVAILABLE")
        assert ways.same(target).status in broken
        assert ways.batch(keys("user1", "nobody")).status in broken
    client.delete(codec.key("features", ["user1"]))
    client.lpush(codec.key("features", ["user1"]), "a list")
    assert ways.same(target).status == "500 INTERNAL SERVER ERROR"
    client.flushall()
    assert ways.same(f"{SHORT}user2").status == "503 SERVICE UNAVAILABLE"

    assert ways.counts()[0] == ways.counts()[1]
