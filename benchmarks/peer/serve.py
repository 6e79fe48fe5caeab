"""
How fast Feast's feature server answers, and what one answer costs.

Starts `feast serve` on a filled Redis and drives it with `wrk`, which must be on PATH, as `serve`
drives our server: the times are the client's, the CPU is that of all the server's processes,
without Redis and without `wrk`. An answer must have the right values before anything counts.

    python -m benchmarks.peer.serve --users 20000 --days 5 --workers 2
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import redis

from benchmarks.peer.environment import environment, inside, surroundings
from benchmarks.peer.push import expected
from benchmarks.peer.repository import (
    FEATURES,
    by_port,
    by_socket,
    made,
    write_newest,
    write_repository,
)
from benchmarks.push import server, server_binary
from benchmarks.report import spread
from benchmarks.serve import drive, free_port, tree

ROUTE = "/get-online-features"
BODIES = 500
READY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Tuning:
    """
    How the server is started and queried.

    Attributes:
        name: What a report calls it.
        options: Options of `feast serve`, beyond address and workers.
        by_service: Ask for a feature service, not for features by name.
        by_socket: Let it reach Redis over the unix socket, not over loopback.
    """

    name: str
    options: tuple[str, ...] = ()
    by_service: bool = False
    by_socket: bool = False


DEFAULT = Tuning("default")
# Without --max-requests 0 each worker is replaced after a thousand answers.
BEST = Tuning(
    "best",
    ("--no-access-log", "--max-requests", "0", "--registry_ttl_sec", "0"),
    by_socket=True,
)


@dataclass(frozen=True, slots=True)
class Served:
    """
    What one server did.

    Attributes:
        tuning: How it was started and queried.
        workers: Its worker processes.
        entities: Users in one request.
        start_seconds: Until it answered `/health` [s].
        rss_mb: Resident memory of all its processes at the end [MB].
        runs: Figures of `benchmarks.serve.drive`, one for each run and number of connections.
    """

    tuning: Tuning
    workers: int
    entities: int
    start_seconds: float
    rss_mb: int
    runs: list[dict[str, float]]


@contextmanager
def running(
    feast: Path, repository: Path, workers: int, options: Sequence[str] = ()
) -> Iterator[tuple[int, float, int]]:
    """Run `feast serve`; gives its process id, the seconds until it was ready, and its port."""
    port = free_port()
    command = [str(feast.with_name("feast")), "--chdir", str(repository), "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers), *options]
    output = repository / "serve.log"
    with output.open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=surroundings(), stdout=log, stderr=log)
    try:
        while not _is_healthy(port):
            if process.poll() is not None or time.perf_counter() - started > READY_SECONDS:
                sys.exit(f"feast serve did not start: {output.read_text()[-2000:]}")
            time.sleep(0.01)
        yield process.pid, time.perf_counter() - started, port
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            for one in tree(process.pid):
                one.kill()
            process.wait()


def serve(
    feast: Path,
    repository: Path,
    newest: Path,
    *,
    tuning: Tuning = BEST,
    workers: int = 1,
    entities: int = 1,
    connections: Sequence[int] = (1, 16),
    seconds: int = 5,
    runs: int = 1,
) -> Served:
    """
    Start a server, check it, drive it, and stop it.

    Args:
        feast: Python of Feast's environment.
        repository: A repository that was applied and whose Redis is filled.
        newest: The rows that Redis was filled with.
        tuning: How to start and ask.
        workers: Worker processes.
        entities: Users in one request.
        connections: Numbers of connections to measure with.
        seconds: Of one figure, and of the run before the first.
        runs: How often each number of connections is measured, in turn.

    Raises:
        SystemExit: It does not start, or answers other values.
    """
    expected_rows = expected(newest, BODIES * entities)
    users = list(expected_rows)
    groups = [users[at : at + entities] for at in range(0, len(users), entities)]
    groups = [group for group in groups if len(group) == entities]
    bodies = [body(group, by_service=tuning.by_service) for group in groups]
    with running(feast, repository, workers, tuning.options) as (pid, start, port):
        _require_right(port, bodies[0], [expected_rows[user] for user in groups[0]])
        targets = [f"{ROUTE}\t{one}" for one in bodies]
        # Before the clock starts, so that it measures a server that runs for a while.
        drive(port, targets, connections=4, seconds=seconds, pid=pid)
        figures = [
            _drive(port, targets, connections=count, seconds=seconds, pid=pid)
            for _ in range(runs)
            for count in connections
        ]
        memory = sum(process.memory_info().rss for process in tree(pid))
    return Served(tuning, workers, entities, start, memory >> 20, figures)


def body(users: Sequence[str], *, by_service: bool) -> str:
    """Write the body of a request."""
    request: dict[str, Any] = {"features": [f"features_daily:{name}" for name in FEATURES]}
    if by_service:
        request = {"feature_service": "served"}
    return json.dumps(request | {"entities": {"user_id": list(users)}})


def _drive(
    port: int, targets: Sequence[str], *, connections: int, seconds: int, pid: int
) -> dict[str, float]:
    """As `drive`, with the CPU of workers that ended meanwhile, which their parent has."""
    before = _ended(pid)
    figures = drive(port, targets, connections=connections, seconds=seconds, pid=pid)
    requests = max(1, figures["requests_per_s"] * seconds)
    figures["cpu_us_per_request"] += round(1e6 * (_ended(pid) - before) / requests)
    return figures


def _ended(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.children_user + times.children_system)


def _is_healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _require_right(port: int, body: str, expected_rows: Sequence[tuple[object, ...]]) -> None:
    """End unless the server answers these values, in this order."""
    request = Request(
        f"http://127.0.0.1:{port}{ROUTE}",
        data=body.encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    columns = dict(zip(found["metadata"]["feature_names"], found["results"], strict=True))
    rows = list(zip(*(columns[name]["values"] for name in FEATURES), strict=True))
    # Its JSON may write a whole number as a string.
    if [list(map(str, row)) for row in rows] != [list(map(str, row)) for row in expected_rows]:
        sys.exit(f"feast serve answers {rows[:1]}, not {expected_rows[:1]}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--entities", type=int, nargs="+", default=[1, 100], help="of one request")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=int, default=5, help="for each figure")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not on PATH")
    feast = environment()
    if feast is None:
        return 1
    with tempfile.TemporaryDirectory(prefix="peer-serve-") as name:
        served = _measure(feast, Path(name), options)
    if options.json:
        print(json.dumps([asdict(one) for one in served]))
        return 0
    for one in served:
        print(f"\n{one.tuning.name}, {one.workers} workers, {one.entities} users in a request")
        print(f"ready after {one.start_seconds:.1f} s, {one.rss_mb} MB")
        for count in options.connections:
            runs = [run for run in one.runs if run["connections"] == count]
            for figure in ("requests_per_s", "p50_ms", "p99_ms", "cpu_us_per_request", "failed"):
                print(f"{count:>4} {figure:<20}{spread([run[figure] for run in runs], 2)}")
    return 0


def _measure(feast: Path, scratch: Path, options: argparse.Namespace) -> list[Served]:
    newest = scratch / "newest.parquet"
    write_newest(made(scratch / "days", options.users, options.days), newest)
    with server(server_binary(), scratch) as socket:
        filled = write_repository(scratch / "filled", newest, by_socket(socket))
        inside(feast, "push", repository=filled)
        return [
            serve(
                feast,
                connected(feast, scratch / f"{tuning.name}-{entities}", newest, socket, tuning),
                newest,
                tuning=tuning,
                workers=options.workers,
                entities=entities,
                connections=options.connections,
                seconds=options.seconds,
                runs=options.runs,
            )
            for tuning in (DEFAULT, BEST)
            for entities in options.entities
        ]


def connected(feast: Path, folder: Path, newest: Path, socket: str, tuning: Tuning) -> Path:
    """Write and apply a repository that reaches the server on *socket* as *tuning* says."""
    online = by_socket(socket)
    if not tuning.by_socket:
        client = redis.Redis(unix_socket_path=socket)
        port = int(client.config_get("port")["port"] or 0)
        if not port:
            port = free_port()
            client.config_set("bind", "127.0.0.1")
            client.config_set("port", port)
        online = by_port(port)
    repository = write_repository(folder, newest, online)
    inside(feast, "apply", repository=repository)
    return repository


if __name__ == "__main__":
    sys.exit(main())
