"""
How long Feast takes to start: its command line, and its server.

    python -m benchmarks.peer.start --runs 5
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peer.environment import VERSION, environment, surroundings
from benchmarks.peer.repository import made, write_newest
from benchmarks.peer.serve import BEST, connected, running
from benchmarks.push import server, server_binary
from benchmarks.report import spread
from benchmarks.training_set import timed


@dataclass(frozen=True, slots=True)
class Started:
    """
    What several starts took.

    Attributes:
        version_seconds: `feast version`, the whole command [s].
        serve_seconds: From the start of `feast serve` until it answers `/health` [s].
    """

    version_seconds: list[float]
    serve_seconds: list[float]


def start(feast: Path, repository: Path, *, workers: int = 1, runs: int = 5) -> Started:
    """
    Start both several times, after once that warms up the machine's file cache.

    Args:
        feast: Python of Feast's environment.
        repository: A repository that was applied.
        workers: Worker processes of the server.
        runs: How often.

    Raises:
        SystemExit: One does not start.
    """

    def serve() -> float:
        with running(feast, repository, workers, BEST.options) as (_, seconds, _):
            return seconds

    versions = [timed(lambda: _tell_version(feast)) for _ in range(runs + 1)]
    return Started(versions[1:], [serve() for _ in range(runs + 1)][1:])


def _tell_version(feast: Path) -> None:
    done = subprocess.run(
        [str(feast.with_name("feast")), "version"],
        env=surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )
    if VERSION not in done.stdout:
        sys.exit(f"feast version failed: {done.stderr[-2000:]}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    feast = environment()
    if feast is None:
        return 1
    with tempfile.TemporaryDirectory(prefix="peer-start-") as name:
        scratch, newest = Path(name), Path(name) / "newest.parquet"
        write_newest(made(scratch / "days", 10, 1), newest)
        with server(server_binary(), scratch) as socket:
            repository = connected(feast, scratch / "repository", newest, socket, BEST)
            result = start(feast, repository, workers=options.workers, runs=options.runs)
    if options.json:
        print(json.dumps(asdict(result)))
        return 0
    for figure, values in asdict(result).items():
        print(f"{figure:<17}{spread(values, 2)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
