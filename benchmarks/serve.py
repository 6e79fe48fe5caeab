"""
How fast the server answers lookups, and what one costs, on stores of a chosen size.

Publishes and pushes made-up users through the materializer, starts the server in a process of its
own, and drives it over HTTP on loopback with `wrk`, which must be on PATH. Times are seen by the
client; CPU is that of all the server's processes, without Redis and without `wrk`. With
`--server gunicorn` the same application runs under Gunicorn, when that is installed.

    python -m benchmarks.serve --users 200000 --days 30
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from benchmarks.offline_lookup import FIRST, Users, publish
from materializer.config import Settings, format_time
from materializer.offline.catalog import open_catalog
from materializer.offline.snapshot import open_snapshot
from materializer.online import embedded
from materializer.online.connection import connect
from materializer.online.push import push_group
from tests.support.group import GROUP

IDS = 5000

# Asks for the targets of a file in turn; prints what it saw as one line of JSON. What follows a tab
# is a body.
LUA = """
local requests, number = {}, 0
local json = {["Content-Type"] = "application/json"}
init = function()
    for line in io.lines("%s") do
        local target, body = line:match("^([^\t]+)\t(.+)$")
        requests[#requests + 1] = target and wrk.format("POST", target, json, body)
            or wrk.format("GET", line)
    end
end
request = function()
    number = number %% #requests + 1
    return requests[number]
end
done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, ' ..
        '"failed": %%d}\\n', summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def fill(settings: Settings, users: Users, days: int) -> None:
    """Publish every day, and push."""
    catalog = open_catalog(settings, environ={})
    try:
        publish(catalog, users, [FIRST + timedelta(days=n) for n in range(days)], 1)
        with connect(settings, timeout=60) as client:
            push_group(open_snapshot(catalog, GROUP.name), client, now=settings.now())
    finally:
        catalog.close()


def free_port() -> int:
    """Find a port no one listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command(server: str, port: int, workers: int) -> list[str]:
    """Write the command line of a server."""
    if server == "granian":
        return [sys.executable, "-m", "serve", "--port", str(port), "--workers", str(workers)]
    if server == "bare":
        return [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "--http", "1"),
            *("--port", str(port), "--workers", str(workers), "--blocking-threads", "8"),
            *("--log-level", "error", "benchmarks.bare:application"),
        ]
    return [
        *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8"),
        *("--workers", str(workers), "--bind", f"127.0.0.1:{port}", "--no-control-socket"),
        *("--limit-request-line", "0", "serve:create_app()"),
    ]


@contextmanager
def running(settings: Settings, server: str, workers: int) -> Iterator[tuple[int, float, int]]:
    """Run a server; gives its process id, the seconds until it was ready, and its port."""
    port = free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYICEBERG_")}
    env |= {"FEATURE_STORE_HOME": str(settings.home)}
    env |= {"FEATURE_STORE_NOW": format_time(settings.now()), "REDIS_URL": settings.redis_url or ""}
    started = time.perf_counter()
    with subprocess.Popen(command(server, port, workers), env=env, stdout=sys.stderr) as process:
        try:
            while not is_ready(port):
                if process.poll() is not None:
                    raise SystemExit(f"{server} did not start")
                time.sleep(0.01)
            yield process.pid, time.perf_counter() - started, port
        finally:
            process.terminate()


def is_ready(port: int) -> bool:
    """Return whether the server answers and has both stores."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def tree(pid: int) -> list[psutil.Process]:
    """List a process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all below it."""
    times = [process.cpu_times() for process in tree(pid)]
    return sum(one.user + one.system for one in times)


def drive(
    port: int, targets: Sequence[str], *, connections: int, seconds: int, pid: int
) -> dict[str, float]:
    """Ask for *targets* in turn over *connections* for some seconds."""
    with tempfile.TemporaryDirectory() as folder:
        listing, script = Path(folder) / "targets", Path(folder) / "wrk.lua"
        listing.write_text("\n".join(targets) + "\n")
        script.write_text(LUA % listing)
        before = cpu_seconds(pid)
        wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
        done = subprocess.run(
            [*wrk, f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True
        )
        used = cpu_seconds(pid) - before
    seen = json.loads(done.stdout.splitlines()[-1])
    return {
        "connections": connections,
        "requests_per_s": round(seen["requests"] / seen["seconds"]),
        "p50_ms": round(seen["p50_ms"], 2),
        "p99_ms": round(seen["p99_ms"], 2),
        "cpu_us_per_request": round(1e6 * used / max(1, seen["requests"])),
        "failed": seen["failed"],
    }


def targets(users: Users, days: int, now: datetime) -> dict[str, list[str]]:
    """Make the request targets of each kind of lookup."""
    chance = random.Random(1)
    active = users.ids(closed=False, count=IDS)
    # Up to half the days back, where every one of them has a row.
    times = [now - timedelta(hours=chance.uniform(0, 12 * days)) for _ in active]
    return {
        "online": [f"/features/online/{user}" for user in active],
        "offline": [
            f"/features/offline/{user}?as_of={moment:%Y-%m-%dT%H:%M:%SZ}"
            for user, moment in zip(active, times, strict=True)
        ],
    }


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Fill the stores, start the server, drive it, and return the figures."""
    now = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
    now += timedelta(days=options.days)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder), fixed_now=now)
        users = Users(options.users, options.days)
        try:
            fill(settings, users, options.days)
            rows: list[dict[str, object]] = []
            with running(settings, options.server, options.workers) as (pid, start, port):
                for kind, request in targets(users, options.days, now).items():
                    # Before the clock starts, so that it measures a server that runs for a while.
                    drive(port, request, connections=4, seconds=options.seconds, pid=pid)
                    for connections in options.connections:
                        figures = drive(
                            port, request, connections=connections, seconds=options.seconds, pid=pid
                        )
                        rows.append({"lookup": kind, **figures})
                memory = sum(process.memory_info().rss for process in tree(pid))
        finally:
            embedded.stop(settings)
    return {
        "server": options.server,
        "workers": options.workers,
        "users": options.users,
        "days": options.days,
        "start_s": round(start, 2),
        "rss_mb": memory // 2**20,
        "lookups": rows,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=5, help="for each figure")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--server", choices=["granian", "gunicorn"], default="granian")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not on PATH")
    result = measure(options)
    if options.json:
        print(json.dumps(result))
        return
    rows = result.pop("lookups")
    assert isinstance(rows, list)
    for name, value in result.items():
        print(f"{name:<12}{value}")
    names = list(rows[0])
    print("".join(f"{name:>20}" for name in names))
    for row in rows:
        print("".join(f"{row[name]:>20}" for name in names))


if __name__ == "__main__":
    main()
