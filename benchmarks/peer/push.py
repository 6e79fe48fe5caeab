"""
How fast Feast fills Redis with each user's newest row, and what that takes.

Feast is given the newest rows ready made, one for each user, over a unix socket to an empty server.
The time is that of `materialize` alone, after imports, `apply`, and a materialization of no rows
that loads what Feast loads late; that of the whole process, and its peak memory, are next to it.
Every key must be there, and the values of some users right, or nothing is reported.

    python -m benchmarks.peer.push --users 200000 --days 30 --runs 5
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb
import redis

from benchmarks.peer.environment import environment, inside
from benchmarks.peer.memory import bytes_per_key, emptied
from benchmarks.peer.repository import (
    BEST,
    DEFAULT,
    FEATURES,
    Choice,
    by_socket,
    made,
    write_newest,
    write_repository,
)
from benchmarks.push import server, server_binary
from benchmarks.report import spread

CHECKED = 100


@dataclass(frozen=True, slots=True)
class Pushed:
    """
    What several pushes took, in the order they were made.

    Attributes:
        choice: The settings.
        rows: Keys written by each.
        seconds: Of `materialize` [s].
        rows_per_second: The same as a rate [1/s].
        process_seconds: Of the whole process: imports, apply, materialize [s].
        peak_mb: Largest resident memory of the process [MB].
        bytes_per_key: Growth of the server's memory for each key [bytes].
    """

    choice: Choice
    rows: int
    seconds: list[float]
    rows_per_second: list[float]
    process_seconds: list[float]
    peak_mb: list[float]
    bytes_per_key: list[float]


def push(
    feast: Path, scratch: Path, newest: Path, socket: str, *, choice: Choice = BEST, runs: int = 5
) -> Pushed:
    """
    Push the same rows several times, each to an empty server.

    Args:
        feast: Python of Feast's environment.
        scratch: A folder for its repositories.
        newest: One row for each user, from `write_newest`.
        socket: Path of the server's unix socket; all its keys are removed. The last push stays.
        choice: The settings.
        runs: How often.

    Raises:
        SystemExit: A key is missing, or a value is wrong.
    """
    client = redis.Redis(unix_socket_path=socket)
    with duckdb.connect() as connection:
        [(rows,)] = connection.execute(f"select count(*) from '{newest}'").fetchall()
    taken, processes, weights = [], [], []
    for _ in range(runs):
        before = emptied(client)
        folder = Path(tempfile.mkdtemp(prefix="push-", dir=scratch)) / "repository"
        repository = write_repository(folder, newest, by_socket(socket), choice)
        started = time.perf_counter()
        taken.append(inside(feast, "push", repository=repository))
        processes.append(time.perf_counter() - started)
        if client.dbsize() != rows:
            sys.exit(f"Feast wrote {client.dbsize()} keys of {rows}")
        weights.append(bytes_per_key(client, before))
    require_right(feast, repository, newest)
    seconds = [float(one["seconds"]) for one in taken]
    return Pushed(
        choice=choice,
        rows=rows,
        seconds=seconds,
        rows_per_second=[rows / one for one in seconds],
        process_seconds=processes,
        peak_mb=[float(one["peak_mb"]) for one in taken],
        bytes_per_key=weights,
    )


def expected(newest: Path, count: int) -> dict[str, tuple[object, ...]]:
    """Pick users at random, and return the features that each must have."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select user_id, {', '.join(FEATURES)} from '{newest}' order by hash(user_id) limit ?",
            [count],
        ).fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}


def require_right(feast: Path, repository: Path, newest: Path) -> None:
    """End unless Feast reads from the online store what the file holds."""
    expected_rows = expected(newest, CHECKED)
    found = inside(feast, "answers", repository=repository, users=list(expected_rows))
    rows = list(zip(*(found[name] for name in FEATURES), strict=True))
    wrong = sum(row != want for row, want in zip(rows, expected_rows.values(), strict=True))
    if wrong:
        sys.exit(f"Feast has other values for {wrong} of {CHECKED} users")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--choice", choices=["best", "default"], default="best")
    parser.add_argument("--batch", type=int, default=BEST.batch, help="rows of a write, when best")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    feast = environment()
    if feast is None:
        return 1
    best = replace(BEST, batch=options.batch)
    choice = DEFAULT if options.choice == "default" else best
    with tempfile.TemporaryDirectory(prefix="peer-push-") as name:
        scratch, newest = Path(name), Path(name) / "newest.parquet"
        write_newest(made(scratch / "days", options.users, options.days), newest)
        with server(server_binary(), scratch) as socket:
            result = push(feast, scratch, newest, socket, choice=choice, runs=options.runs)
    if options.json:
        print(json.dumps(asdict(result)))
        return 0
    print(f"{result.rows:,} rows, {result.choice}")
    for figure in ("rows_per_second", "seconds", "process_seconds", "peak_mb", "bytes_per_key"):
        print(f"{figure:<18}{spread(getattr(result, figure), 2)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
