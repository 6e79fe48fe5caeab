"""
What publishing one more day costs, next to a bare Parquet write of the same rows.

Makes users with random activity, publishes days through the materializer, and then one day after
another: each is timed from the rows in memory to the commit that readers see, and next to it
PyArrow writes the same rows, sorted before the clock starts, into one file with the settings of
the store's files. Every published day must read back as the rows that were given, and the spans
must name its users, or nothing is reported. CPU seconds stand next to the wall's, for a machine
that has other work.

    python -m benchmarks.publish --users 200000 --days 10 --runs 5
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from benchmarks.offline_lookup import FIRST, Users
from benchmarks.report import Bar, print_bars
from materializer.config import Settings
from materializer.offline.catalog import open_catalog, spans_name, table_name
from materializer.offline.publish import publish_days
from materializer.offline.read import data_files, files_by_day
from materializer.offline.write import ROW_GROUP
from tests.support.group import GROUP

BAR = 2.0


@dataclass(slots=True)
class Taken:
    """
    What several runs of one thing took.

    Attributes:
        seconds: By the clock on the wall [s].
        cpu: Of all threads, user and system [s].
    """

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def time(self, call: Callable[[], object]) -> None:
        """Call once, and keep what it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        self.cpu.append(time.process_time() - cpu)
        self.seconds.append(time.perf_counter() - wall)


def publish(catalog: Catalog, days: dict[date, pa.Table], sequence: int) -> None:
    """Publish days whose rows are at hand."""
    publish_days(
        catalog,
        GROUP,
        days=days,
        rows=days.__getitem__,
        warehouse_id="benchmark",
        ledger_sequence=sequence,
    )


def bare_write(rows: pa.Table, path: Path) -> None:
    """Write sorted rows as the store's files are: compression, row groups, dictionaries."""
    pq.write_table(
        rows,
        path,
        compression="zstd",
        row_group_size=ROW_GROUP,
        use_dictionary=[name for name in rows.column_names if name not in GROUP.entity],
        store_schema=False,
    )


def require_equal(catalog: Catalog, day: date, rows: pa.Table) -> None:
    """End unless a day reads back as the rows that were given, and spans name its entities."""
    files = files_by_day(catalog.load_table(table_name(GROUP.name)))[day]
    spans = data_files(catalog.load_table(spans_name(GROUP.name)))
    paths = [[file.file_path.removeprefix("file://") for file in some] for some in (files, spans)]
    names = ", ".join(rows.column_names)
    with duckdb.connect() as connection:
        connection.register("given", rows)
        published = "select * from read_parquet($1, hive_partitioning = false)"
        for one, other in (("published", "given"), ("given", "published")):
            [(wrong,)] = connection.execute(
                f"with published as ({published}) select count(*) from "
                f"(select {names} from {one} except all select {names} from {other})",
                paths[:1],
            ).fetchall()
            if wrong:
                sys.exit(f"{day}: {wrong} rows of what was {one} are not in what was {other}")
        [(named,)] = connection.execute(
            "select count(*) from read_parquet($1) where last_day >= $2 and first_day <= $2",
            [paths[1], day],
        ).fetchall()
    if named != rows.num_rows:
        sys.exit(f"{day}: {rows.num_rows} rows, and {named} spans")


def measure(users: int, days: int, runs: int) -> dict[str, Any]:
    """Publish a history, then one day at a time, each next to a bare write."""
    ours, bare, sort = Taken(), Taken(), Taken()
    counts = []
    with tempfile.TemporaryDirectory(prefix="bench-publish-") as name:
        folder = Path(name)
        catalog = open_catalog(Settings(folder / "home"), environ={})
        # No one stops before the last of the days.
        made = Users(users, 2 * (days + runs + 1))
        history = [FIRST + timedelta(days=number) for number in range(days)]
        publish(catalog, {day: made.day(day) for day in history}, 1)
        # The first one warms up both; it is checked, and not counted.
        for number in range(runs + 1):
            day = FIRST + timedelta(days=days + number)
            rows = made.day(day)
            ours.time(partial(publish, catalog, {day: rows}, 2 + number))
            sort.time(partial(rows.sort_by, "user_id"))
            bare.time(partial(bare_write, rows.sort_by("user_id"), folder / "bare.parquet"))
            require_equal(catalog, day, rows)
            counts.append(rows.num_rows)
    return {
        "rows": counts[-1],
        "publish_s": ours.seconds[1:],
        "publish_cpu_s": ours.cpu[1:],
        "bare_write_s": bare.seconds[1:],
        "bare_write_cpu_s": bare.cpu[1:],
        "bare_sort_s": sort.seconds[1:],
    }


def bars(figures: dict[str, Any]) -> list[Bar]:
    """Compare with the bare write; with a bare sort and two writes, as context."""
    what = f"publish of one day, {figures['rows']:,} rows"
    write, sort = figures["bare_write_s"], figures["bare_sort_s"]
    sorted_twice = [one + 2 * other for one, other in zip(sort, write, strict=True)]
    return [
        Bar(what, "s", figures["publish_s"], "bare Parquet write", write, BAR),
        Bar(f"{what}, CPU", "s", figures["publish_cpu_s"], "its CPU", figures["bare_write_cpu_s"]),
        Bar(what, "s", figures["publish_s"], "bare sort and two writes", sorted_twice),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=10, help="of history")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    figures = measure(options.users, options.days, options.runs)
    compared = bars(figures)
    print_bars(compared, options.json, **figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
