"""
What a training set on demand costs next to DuckDB's bare ASOF join of the same files.

Publishes users with random activity, then joins labels at random times with them: the whole command
in this process, and a bare `ASOF LEFT JOIN` over the same data files into a Parquet file of the
same columns, in turn. Both must come to the same rows, or nothing is printed. The bar: 1.2 times
the bare join. What the command does beyond it is in its time: it pins and tags snapshots, hashes
labels and output, checks the result, and keeps the order of the labels.

    python -m benchmarks.training_set --moments many

`--moments many` gives every row a moment of its own, as groups of events have; then the fast way
for daily groups does not apply.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from benchmarks.offline_lookup import FIRST, Users
from benchmarks.report import Bar, table, to_json
from materializer.config import Settings
from materializer.console import Console
from materializer.offline.catalog import open_catalog, table_name
from materializer.offline.publish import publish_days
from materializer.offline.read import data_files
from materializer.training.build import training_set
from materializer.training.request import TrainingSetRequest
from tests.support.group import GROUP

BAR = 1.2
REQUEST = TrainingSetRequest((GROUP.name,), "as_of_ts", {}, None, False)
FEATURES = [column.name for column in GROUP.columns if column.name not in GROUP.entity]


def publish(catalog: Catalog, users: Users, days: int, *, many: bool) -> int:
    """Publish the users' days; return how many rows."""

    def rows(day: date) -> pa.Table:
        table = users.day(day)
        if not many:
            return table
        with duckdb.connect() as connection:
            connection.register("day", table)
            spread = "available_at + to_seconds(hash(user_id) % 86400) as available_at"
            return connection.sql(f"select * replace ({spread}) from day").to_arrow_table()

    return publish_days(
        catalog,
        GROUP,
        days=[FIRST + timedelta(days=n) for n in range(days)],
        rows=rows,
        warehouse_id="benchmark",
        ledger_sequence=1,
    ).rows


def write_labels(path: Path, ids: Sequence[str], labels: int, days: int) -> None:
    """Write labels of random users at random times, over all the days and one more."""
    with duckdb.connect() as connection:
        connection.register("ids", pa.table({"n": range(len(ids)), "user_id": list(ids)}))
        connection.execute(
            f"""
            copy (
                select
                    user_id,
                    (hash(i, 5) % 2)::double as label,
                    timestamp '{FIRST}' + to_microseconds(
                        (hash(i, 9) % {(days + 1) * 86_400_000_000}::ubigint)::bigint
                    ) as as_of_ts
                from range({labels}) as numbers (i)
                inner join ids on n = hash(i, 3) % {len(ids)}
                order by hash(i, 11)
            ) to '{path}' (format parquet)
            """
        )


def bare_join(
    labels: Path, files: Sequence[str], out: Path, features: Sequence[str] = FEATURES
) -> None:
    """Join as one would by hand, with DuckDB as it comes."""
    with duckdb.connect() as connection:
        columns = ", ".join(f"rows.{name}" for name in features)
        connection.execute(
            f"""
            copy (
                select labels.*, {columns}
                from '{labels}' as labels
                asof left join read_parquet({list(files)!r}, hive_partitioning = false) as rows
                    on labels.user_id = rows.user_id and labels.as_of_ts >= rows.available_at
            ) to '{out}' (format parquet)
            """
        )


def require_same(ours: Path, bare: Path) -> None:
    """End unless both files have the same rows."""
    with duckdb.connect() as connection:
        [(count,)] = connection.execute(
            f"select count(*) from ((from '{ours}' except all from '{bare}') "
            f"union all (from '{bare}' except all from '{ours}'))"
        ).fetchall()
    if count:
        sys.exit(f"{count} rows differ")


def timed(call: Callable[[], object]) -> float:
    """Time one call [s]."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Publish, join both ways in turn, and return the figures."""
    with tempfile.TemporaryDirectory(prefix="training-set-") as name:
        folder = Path(name)
        settings = Settings(folder / "home")
        catalog = open_catalog(settings, environ={})
        users = Users(options.users, options.days)
        rows = publish(catalog, users, options.days, many=options.moments == "many")
        ids = [
            *users.ids(closed=False, count=options.users),
            *users.ids(closed=True, count=options.users),
        ]
        labels, ours, bare = (folder / f"{name}.parquet" for name in ("labels", "ours", "bare"))
        write_labels(labels, ids, options.labels, options.days)
        table = catalog.load_table(table_name(GROUP.name))
        files = [file.file_path.removeprefix("file://") for file in data_files(table)]
        quiet = Console(as_json=True, out=(folder / "output").open("w"))

        def command() -> object:
            return training_set(settings, labels, REQUEST, ours, quiet, force=True)

        pairs = []
        for _ in range(options.runs + 1):
            pairs.append((timed(command), timed(lambda: bare_join(labels, files, bare))))
            require_same(ours, bare)
    # The first pair warms up the machine's file cache.
    mine, theirs = zip(*pairs[1:], strict=True)
    what = f"training set on demand, {options.labels:,} labels"
    return {
        "rows": rows,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "bars": [
            Bar(what, "s", mine, "bare ASOF join of the same files", theirs, BAR),
        ],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=212_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--moments", choices=["one", "many"], default="one", help="of one day")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    result = measure(options)
    bars = result.pop("bars")
    if options.json:
        print(json.dumps({**result, "bars": [to_json(bar) for bar in bars]}))
        return
    print(f"{result['rows']:,} feature rows, peak {result['peak_rss_mb']} MB\n\n{table(bars)}")


if __name__ == "__main__":
    main()
