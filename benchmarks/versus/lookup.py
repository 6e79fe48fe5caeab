"""
What an online lookup costs a server, and how many it answers: this one, Feast's and a bare one.

All servers run at once, on the same filled Redis, and `wrk`, which must be on PATH, drives one
after the other, round by round. CPU is measured with one worker and one connection, and is that of
all processes of a server, without Redis and without `wrk`; rates with two workers and sixteen
connections. Each server must answer the right values before anything counts, and no request may
fail.

    python -m benchmarks.versus.lookup --users 200000 --runs 5
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import redis

from benchmarks.peer import serve as feast_server
from benchmarks.peer.environment import inside
from benchmarks.peer.push import expected
from benchmarks.peer.repository import FEATURES, by_socket, write_repository
from benchmarks.push import available, fill, run_child, server, server_binary
from benchmarks.report import Bar, print_bars
from benchmarks.serve import drive, running
from benchmarks.versus.push import find_feast, newest_rows, require_right
from materializer.config import Settings
from tests.support.group import GROUP

BATCH = 100
REQUESTED = 2000
LIMITS = {1: {"cpu": 0.25, "rate": 4.0}, BATCH: {"cpu": 0.07, "rate": 15.0}}
BARE_CPU = 1.8

Values = Mapping[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Server:
    """
    One running server, and how it is queried.

    Attributes:
        name: `ours`, `bare` or `feast`.
        workers: Its worker processes.
        pid: Its process.
        port: Where it listens.
        target: Writes one request for some users: a path, and after a tab its body, if any.
        rows: Reads the features of each user from an answer.
        runs: What was measured, by number of users in a request.
    """

    name: str
    workers: int
    pid: int
    port: int
    target: Callable[[Sequence[str]], str]
    rows: Callable[[Any], list[list[object]]]
    runs: dict[int, list[dict[str, float]]] = field(default_factory=dict)


def our_target(users: Sequence[str]) -> str:
    """Ask for one user with GET, for many with POST."""
    if len(users) == 1:
        return f"/features/online/{users[0]}"
    body = json.dumps({"keys": [{"user_id": user} for user in users]})
    return f"/feature-groups/{GROUP.name}/online\t{body}"


def our_rows(answer: Any) -> list[list[object]]:
    """Read either answer of ours."""
    if "features" in answer:
        return [[answer["features"][name] for name in FEATURES]]
    at = [answer["columns"].index(name) for name in FEATURES]
    return [[row[place] for place in at] for row in answer["rows"]]


def bare_rows(answer: Any) -> list[list[object]]:
    """Read what is stored: the id of a contract, `day`, and the features in contract order."""
    return [answer[1 : 1 + len(FEATURES)]]


def feast_target(users: Sequence[str]) -> str:
    """Ask Feast for features by name, which is its fastest way."""
    return f"{feast_server.ROUTE}\t{feast_server.body(users, by_service=False)}"


def feast_rows(answer: Any) -> list[list[object]]:
    """Read Feast's answer."""
    names = answer["metadata"]["feature_names"]
    columns = dict(zip(names, answer["results"], strict=True))
    rows = zip(*(columns[name]["values"] for name in FEATURES), strict=True)
    return [list(row) for row in rows]


@contextmanager
def servers(feast: Path | None, scratch: Path, settings: Settings) -> Iterator[list[Server]]:
    """Run ours and Feast's with one and two workers, and a bare one."""
    with ExitStack() as stack:
        found = []
        for name, kind, workers, target, rows in (
            ("ours", "granian", 1, our_target, our_rows),
            ("ours", "granian", 2, our_target, our_rows),
            ("bare", "bare", 1, our_target, bare_rows),
        ):
            pid, _, port = stack.enter_context(running(settings, kind, workers))
            found.append(Server(name, workers, pid, port, target, rows))
        if feast:
            for workers in (1, 2):
                repository = scratch / f"served-{workers}"
                shutil.copytree(scratch / "feast", repository, symlinks=True)
                pid, _, port = stack.enter_context(
                    feast_server.running(feast, repository, workers, feast_server.BEST.options)
                )
                found.append(Server("feast", workers, pid, port, feast_target, feast_rows))
        yield found


def require_values(one: Server, target: str, expected_rows: Sequence[tuple[object, ...]]) -> None:
    """End unless the server answers these values, in this order."""
    path, _, body = target.partition("\t")
    request = Request(f"http://127.0.0.1:{one.port}{path}", data=body.encode() or None)
    if body:
        request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=60) as answer:
        found = one.rows(json.load(answer))
    # Feast may write a whole number as a string.
    if [list(map(str, row)) for row in found] != [list(map(str, row)) for row in expected_rows]:
        sys.exit(f"{one.name} answers {found[:1]}, not {expected_rows[:1]}")


def measure(feast: Path | None, options: argparse.Namespace) -> list[Server]:
    """Fill one Redis for all, start the servers, and drive them in turn."""
    with tempfile.TemporaryDirectory(prefix="versus-lookup-") as name:
        scratch = Path(name)
        fill(scratch / "home", options.users, options.days)
        newest = newest_rows(scratch / "home", scratch / "newest.parquet")
        with server(server_binary(), scratch) as socket:
            run_child(scratch / "home", socket, options.days - 1)
            require_right(redis.Redis(unix_socket_path=socket), newest)
            if feast:
                repository = write_repository(scratch / "feast", newest, by_socket(socket))
                inside(feast, "push", repository=repository)
            settings = Settings(
                scratch / "home",
                redis_url=f"unix://{socket}",
                fixed_now=available(options.days - 1),
            )
            with servers(feast, scratch, settings) as found:
                for users in (1, BATCH):
                    expected_rows = expected(newest, max(REQUESTED, users * 50))
                    _drive_all(
                        [one for one in found if _asks(one, users)], users, expected_rows, options
                    )
            return found


def _asks(one: Server, users: int) -> bool:
    return one.name != "bare" or users == 1


def _drive_all(
    found: Sequence[Server], users: int, expected_rows: Values, options: argparse.Namespace
) -> None:
    ids = list(expected_rows)
    groups = [ids[at : at + users] for at in range(0, len(ids) - users + 1, users)]
    for number in range(options.runs + 1):
        for one in found:
            targets = [one.target(group) for group in groups]
            if not number:
                require_values(one, targets[0], [expected_rows[user] for user in groups[0]])
            print(f"\r{users} users, run {number}, {one.name} ", end="", file=sys.stderr)
            seen = drive(
                one.port,
                targets,
                connections=1 if one.workers == 1 else 16,
                seconds=options.seconds,
                pid=one.pid,
            )
            if seen["failed"]:
                sys.exit(f"{one.name} failed {seen['failed']} requests")
            # The first run warms up.
            if number:
                one.runs.setdefault(users, []).append(seen)
    print(file=sys.stderr)


def bars(found: Sequence[Server], note: str) -> list[Bar]:
    """Compare CPU and rates with Feast's, and CPU with that of the bare server."""

    def figures(name: str, workers: int, users: int, figure: str) -> list[float]:
        return [
            run[figure]
            for one in found
            if (one.name, one.workers) == (name, workers)
            for run in one.runs.get(users, ())
        ]

    compared = []
    for users, limits in LIMITS.items():
        what = "one entity" if users == 1 else f"batch of {users}"
        cpu, rate = "cpu_us_per_request", "requests_per_s"
        ours = figures("ours", 1, users, cpu)
        if users == 1:
            bare = figures("bare", 1, users, cpu)
            compared.append(
                Bar(f"{what}, CPU of a request", "us", ours, "bare WSGI", bare, BARE_CPU)
            )
        peer = figures("feast", 1, users, cpu)
        compared.append(
            Bar(f"{what}, CPU of a request", "us", ours, "Feast", peer, limits["cpu"], note=note)
        )
        compared.append(
            Bar(
                f"{what}, 2 workers, 16 connections",
                "requests/s",
                figures("ours", 2, users, rate),
                "Feast",
                figures("feast", 2, users, rate),
                limits["rate"],
                at_least=True,
                note=note,
            )
        )
        for figure in ("p50_ms", "p99_ms"):
            mine, other = (figures(name, 1, users, figure) for name in ("ours", "feast"))
            compared.append(Bar(f"{what}, {figure[:3]}", "ms", mine, "Feast", other))
    return compared


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="for each figure")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not on PATH")
    feast, note = find_feast()
    compared = bars(measure(feast, options), note)
    print_bars(compared, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
