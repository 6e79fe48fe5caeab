"""The server under clients that send slowly, or never end, or say two things at once."""

from __future__ import annotations

import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from typing import Any

import pytest

from serve.__main__ import THREADS
from serve.errors import Overloaded
from serve.limits import MOST_BODIES, MOST_OFFLINE, MOST_READERS
from serve.requests import body as bodies
from tests.serve.support import FeatureServer, Store

BODY = b'{"keys": [{"user_id": "user1"}]}'
HEAD = b"POST /feature-groups/features_daily/online HTTP/1.1\r\nHost: a\r\n"
JSON = HEAD + b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
HALF = JSON + b"Content-Length: 100\r\n\r\nx"
LOOKUPS = [
    "/health",
    "/ready",
    "/metrics",
    "/features/online/user1",
    "/features/offline/user1?as_of=2024-01-05",
]


@contextmanager
def sending(port: int, *parts: bytes) -> Iterator[list[socket.socket]]:
    """Open connections, each of which sent some bytes and no more."""
    with ExitStack() as stack:
        made = []
        for part in parts:
            made.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), 20)))
            made[-1].sendall(part)
        yield made


def status(connection: socket.socket) -> int:
    """Read the status of an answer, 0 when the connection was closed without."""
    line = connection.recv(4096).partition(b"\r\n")[0].split()
    return int(line[1]) if line else 0


def answer(connection: socket.socket) -> str:
    """Read one error."""
    read = b""
    while not read.endswith(b"}}\n") and (more := connection.recv(4096)):
        read += more
    return read.decode()


def slowest(http: FeatureServer) -> float:
    """Ask all that has no body, and return the longest time [s]."""
    times = []
    for target in LOOKUPS:
        started = time.monotonic()
        assert http.get(target).status == 200, target
        times.append(time.monotonic() - started)
    return max(times)


def test_some_threads_are_left_for_what_waits_for_nobody() -> None:
    assert THREADS - MOST_READERS - MOST_OFFLINE >= 32


@pytest.fixture(scope="module")
def hasty(filled: Store) -> Iterator[FeatureServer]:
    """Give a server that waits two seconds for a body, and cuts silent connections soon."""
    patch = (
        "import serve.requests.body as b, serve.sockets as s\n"
        "b.TIMEOUT, s.WATCH, s.LONGEST = 2, 1, 5"
    )
    with filled.server(patch=patch) as server:
        yield server


def post(http: FeatureServer) -> int:
    return http.post("/feature-groups/features_daily/online", json.loads(BODY)).status


@pytest.mark.parametrize("count", [8, THREADS + 8])
def test_half_sent_bodies_hold_up_nobody_else(hasty: FeatureServer, count: int) -> None:
    with sending(hasty.port, *[HALF] * count) as connections:
        assert slowest(hasty) < 1
        answers = [answer(connection) for connection in connections]
        assert slowest(hasty) < 1
        # Their clients do not go away, and are not waited for.
        assert post(hasty) == 200

    late = [one for one in answers if one.startswith("HTTP/1.1 408 ")]
    refused = [one for one in answers if one.startswith("HTTP/1.1 503 ")]
    assert len(late) == min(count, MOST_BODIES)
    assert len(refused) == count - len(late)
    assert all('"request_timeout"' in one and "connection: close\r\n" in one for one in late)
    assert all('"overloaded"' in one and "retry-after: 1\r\n" in one for one in refused)


def test_bodies_that_come_a_byte_at_a_time_hold_up_nobody_else(hasty: FeatureServer) -> None:
    with sending(hasty.port, *[HALF] * THREADS) as connections:
        for _ in range(3):
            for connection in connections:
                with suppress(OSError):  # refused, and closed
                    connection.sendall(b" ")
            assert slowest(hasty) < 1
            time.sleep(0.7)
        assert [status(one) for one in connections].count(408) == MOST_BODIES
        assert post(hasty) == 200


def test_clients_that_never_end_are_cut_off_in_the_end(hasty: FeatureServer) -> None:
    kept = HTTPConnection("127.0.0.1", hasty.port, timeout=20)
    with sending(hasty.port, *[HALF] * 4) as connections:
        assert [status(one) for one in connections] == [408] * 4
        started = time.monotonic()
        while any(one.recv(4096) for one in connections):
            kept.request("GET", "/health")  # a connection in use is not cut
            assert kept.getresponse().read()
        assert time.monotonic() - started < 10
    kept.close()


def test_half_sent_heads_hold_up_nobody_else(hasty: FeatureServer) -> None:
    with sending(hasty.port, *[HEAD[:-5]] * (THREADS + 8)):
        assert slowest(hasty) < 1
        assert post(hasty) == 200


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (JSON + b"Content-Length: 50\r\n\r\n" + BODY, "32 of 50"),
        (JSON + b"Host: b\r\n" + LENGTH + BODY, "Host"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "Host"),
        (b"GET /features/online/user1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "Host"),
        (b"GET /features/online/user1 HTTP/1.1\r\n\r\n", "Host"),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    hasty: FeatureServer, sent: bytes, problem: str
) -> None:
    with sending(hasty.port, sent) as (connection,):
        if sent.startswith(JSON + b"Content-Length: 50"):
            connection.shutdown(socket.SHUT_WR)
        refused = answer(connection)

    assert refused.startswith("HTTP/1.1 400 ")
    assert '"bad_request"' in refused
    assert problem in refused


def test_a_request_of_http_1_0_needs_no_host(hasty: FeatureServer) -> None:
    with sending(hasty.port, b"GET /health HTTP/1.0\r\n\r\n") as (connection,):
        assert status(connection) == 200


def test_a_length_beside_chunks_is_refused(filled: Store) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    with filled.application() as http:
        answer = http.send("/feature-groups/features_daily/online", "POST", BODY, headers)

    assert (answer.status, answer.code) == (400, "bad_request")


def take(read: bodies.Bodies, body: bytes) -> dict[str, Any]:
    environ = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    assert read.take(environ) == body
    return environ


def test_what_is_kept_of_all_bodies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_KEPT", 3 * bodies.LARGE)
    read, body = bodies.Bodies(), b" " * bodies.LARGE
    first, *_ = [take(read, body) for _ in range(3)]

    with pytest.raises(Overloaded):
        take(read, b" ")
    read.release(first)

    take(read, body)


def test_a_third_large_batch_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LARGE_PATIENCE", 0.1)
    read, body = bodies.Bodies(), b" " * (bodies.LARGE + 1)
    first, _ = take(read, body), take(read, body)

    with pytest.raises(Overloaded):
        take(read, body)
    take(read, BODY)
    read.release(first)

    take(read, body)
