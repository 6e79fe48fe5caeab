"""
Filling an empty server with every user's newest row: this store and Feast in turn.

Both push the same rows to the same server, which is emptied before. Ours is timed from opening the
Iceberg table to the last reply, Feast's is the time of `materialize` alone, once it is loaded. Both
are checked: every key must be there, and the values of some users right.

    python -m benchmarks.versus.push --users 200000 --days 30 --runs 5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import redis

from benchmarks.peer.environment import Unavailable, make
from benchmarks.peer.memory import bytes_per_key, emptied
from benchmarks.peer.push import Pushed, expected
from benchmarks.peer.push import push as push_by_feast
from benchmarks.peer.repository import FEATURES, write_newest
from benchmarks.push import fill, run_child, server, server_binary
from benchmarks.report import Bar, print_bars
from materializer.config import Settings
from materializer.get import read_row
from materializer.offline.catalog import open_catalog, table_name
from materializer.offline.read import data_files
from tests.support.group import GROUP

TIMES_AS_FAST = 30
SHARE_OF_BYTES = 0.70
CHECKED = 100


def measure(
    feast: Path | None, users: int, days: int, runs: int
) -> tuple[list[dict[str, float]], list[Pushed]]:
    """Push in turn; give our runs, with `bytes_per_key`, and Feast's."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="versus-push-") as name:
        scratch = Path(name)
        fill(scratch / "home", users, days)
        newest = newest_rows(scratch / "home", scratch / "newest.parquet")
        with server(server_binary(), scratch) as socket:
            client = redis.Redis(unix_socket_path=socket)
            for number in range(runs):
                print(f"\rrun {number + 1} of {runs} ", end="", file=sys.stderr, flush=True)
                before = emptied(client)
                figures = run_child(scratch / "home", socket, days - 1)
                require_right(client, newest)
                ours.append(figures | {"bytes_per_key": bytes_per_key(client, before)})
                if feast:
                    theirs.append(push_by_feast(feast, scratch, newest, socket, runs=1))
    print(file=sys.stderr)
    return ours, theirs


def newest_rows(home: Path, out: Path) -> Path:
    """Write each user's newest row of the store in *home*, in the form that Feast can hold."""
    catalog = open_catalog(Settings(home), environ={})
    try:
        files = data_files(catalog.load_table(table_name(GROUP.name)))
    finally:
        catalog.close()
    write_newest([file.file_path.removeprefix("file://") for file in files], out)
    return out


def require_right(client: redis.Redis, newest: Path) -> None:
    """End unless the server holds what the file holds."""
    for user, row in expected(newest, CHECKED).items():
        found = read_row(GROUP, client, [user], datetime.now(UTC))
        if tuple(found.get(name) for name in FEATURES) != row:
            sys.exit(f"{user} has {found} online, not {row}")


def bars(ours: list[dict[str, float]], theirs: list[Pushed], note: str) -> list[Bar]:
    """Compare rates and bytes, and show memory."""
    rates = [run["rows"] / run["seconds"] for run in ours]
    feast = [rate for run in theirs for rate in run.rows_per_second]
    weights = [weight for run in theirs for weight in run.bytes_per_key]
    peaks = [peak for run in theirs for peak in run.peak_mb]
    rows = f"first push, {ours[0]['rows']:,.0f} rows"
    return [
        Bar(rows, "rows/s", rates, "Feast", feast, TIMES_AS_FAST, at_least=True, note=note),
        Bar(
            "memory of the server for one entity",
            "bytes",
            [run["bytes_per_key"] for run in ours],
            "Feast",
            weights,
            SHARE_OF_BYTES,
            note=note,
        ),
        Bar("memory of the first push", "MB", [run["peak_mb"] for run in ours], "Feast", peaks),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    feast, note = find_feast()
    compared = bars(*measure(feast, options.users, options.days, options.runs), note)
    print_bars(compared, options.json)
    return 0


def find_feast() -> tuple[Path | None, str]:
    """Find Feast's Python, or say in one line why it is not there."""
    try:
        return make(), ""
    except Unavailable as reason:
        return None, f"Feast was not measured: {reason}"


if __name__ == "__main__":
    sys.exit(main())
