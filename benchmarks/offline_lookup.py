"""
How long an offline lookup takes, and a publish, on a store of a chosen size.

Makes users with random ids and random activity, publishes them day by day through the materializer,
and times lookups of active, closed and unknown entities in this process, beside a bare DuckDB read
of the one Parquet file that holds the row. Then it publishes one more day, beside a bare Parquet
write of the same rows.

    python -m benchmarks.offline_lookup --users 200000 --days 30
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.errors import LookupMiss
from materializer.offline.catalog import open_catalog, spans_name, table_name
from materializer.offline.files import data_files, files_by_day
from materializer.offline.publish import PublishReport, publish_days
from materializer.offline.reader import OfflineReader
from tests.support.group import GROUP

Call = Callable[[], object]

FIRST = date(2024, 1, 1)


class Users:
    """Users of which nine in ten are there every day, and one in ten stops half way."""

    def __init__(self, users: int, days: int, seed: int = 7) -> None:
        self._connection = duckdb.connect()
        self._days = days
        self._connection.execute(
            """
            create table users as
            select printf('user_%016x', hash(i, ?)) as user_id, i % 10 = 0 as closes
            from range(?) as numbers (i)
            """,
            [seed, users],
        )

    def day(self, day: date) -> pa.Table:
        """Give the rows of one day, unsorted."""
        closing = (day - FIRST).days >= self._days // 2
        return self._connection.sql(
            f"""
            select
                user_id,
                date '{day}' as day,
                hash(user_id, date '{day}') % 50 as event_count_7d,
                hash(user_id, date '{day}') % 200 as event_count_30d,
                (hash(user_id, date '{day}') % 30)::int as last_event_days_ago,
                (1 + hash(user_id) % 8)::varchar as event_type_counts,
                timestamp '{day}' + interval 1 day as available_at,
                timestamp '{day}' + to_seconds(hash(user_id, date '{day}') % 86400) as max_event_ts
            from users
            where not (closes and {closing})
            """
        ).to_arrow_table()

    def ids(self, *, closed: bool, count: int) -> list[str]:
        """Pick users at random."""
        rows = self._connection.execute(
            "select user_id from users where closes = ? order by hash(user_id, 3) limit ?",
            [closed, count],
        ).fetchall()
        return [row[0] for row in rows]


def publish(catalog: Catalog, users: Users, days: Sequence[date], sequence: int) -> PublishReport:
    """Publish days, telling the progress on standard error."""

    def progress(day: date, rows: int) -> None:
        sys.stderr.write(f"\r{day}: {rows:,} rows ")

    report = publish_days(
        catalog,
        GROUP,
        days=days,
        rows=users.day,
        warehouse_id="benchmark",
        ledger_sequence=sequence,
        progress=progress,
    )
    sys.stderr.write("\n")
    return report


def timed(calls: Sequence[Call]) -> dict[str, float]:
    """Time each call once; p50 and p99 in milliseconds."""
    taken = []
    for call in calls:
        started = time.perf_counter()
        with suppress(LookupMiss):
            call()
        taken.append(1000 * (time.perf_counter() - started))
    taken.sort()
    return {
        "p50_ms": round(taken[len(taken) // 2], 2),
        "p99_ms": round(taken[int(len(taken) * 0.99)], 2),
    }


def lookups(catalog: Catalog, users: Users, days: int, count: int) -> dict[str, dict[str, float]]:
    """Time lookups at random times, and what the cold start costs."""
    reader = OfflineReader(catalog)
    chance = random.Random(1)
    end = datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(days=days)

    def calls(ids: Sequence[str]) -> list[Call]:
        # Up to half the days back, so that every kind keeps its meaning.
        times = [end - timedelta(hours=chance.uniform(0, 12 * days)) for _ in ids]
        return [
            partial(reader.lookup, GROUP.name, (user,), moment)
            for user, moment in zip(ids, times, strict=True)
        ]

    active = users.ids(closed=False, count=count)
    closed = users.ids(closed=True, count=count)
    unknown = [f"user_{chance.getrandbits(64):016x}" for _ in range(count)]
    figures = {"first lookup": timed(calls(active[:1]))}
    # Every footer is read once before the clock starts, as in a server that has run for a minute.
    timed(calls(active))
    figures["active"] = timed(calls(active))
    figures["closed"] = timed(calls(closed))
    figures["unknown"] = timed(calls(unknown))
    early = datetime(2024, 1, 1, tzinfo=timezone.utc)
    figures["not yet available"] = timed(
        [partial(reader.lookup, GROUP.name, (user,), early) for user in active]
    )
    figures["bare DuckDB read of the file"] = timed(bare_reads(catalog, active))
    return figures


def bare_reads(catalog: Catalog, ids: Sequence[str]) -> list[Call]:
    """Make calls that read one row from the newest day's file, the path already known."""
    table = catalog.load_table(table_name(GROUP.name))
    files = list(files_by_day(table).values())[-1]
    paths = [file.file_path.removeprefix("file://") for file in files]
    connection = duckdb.connect()

    def read(user: str) -> object:
        query = "select * from read_parquet(?) where user_id = ?"
        return connection.execute(query, [paths, user]).fetchall()

    return [partial(read, user) for user in ids]


def bare_write(users: Users, day: date, folder: Path) -> float:
    """Write the same day as one sorted Parquet file; seconds."""
    rows = users.day(day)
    started = time.perf_counter()
    pq.write_table(rows.sort_by("user_id"), folder / "bare.parquet", compression="zstd")
    return time.perf_counter() - started


def measure(users: int, days: int, count: int) -> dict[str, object]:
    """Build a store, use it, and tell the figures."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = open_catalog(Settings(Path(folder)), environ={})
        made = Users(users, days)
        all_days = [FIRST + timedelta(days=n) for n in range(days)]
        started = time.perf_counter()
        report = publish(catalog, made, all_days, 1)
        published = time.perf_counter() - started
        figures = lookups(catalog, made, days, count)
        more = FIRST + timedelta(days=days)
        started = time.perf_counter()
        one = publish(catalog, made, [more], 2)
        daily = time.perf_counter() - started
        started = time.perf_counter()
        publish(catalog, made, [more], 3)
        again = time.perf_counter() - started
        sizes = {
            name: sum(f.file_size_in_bytes for f in data_files(catalog.load_table(name)))
            for name in (table_name(GROUP.name), spans_name(GROUP.name))
        }
        return {
            "users": users,
            "days": days,
            "lookups": figures,
            "publish_all_s": round(published, 2),
            "publish_all_rows": report.rows,
            "publish_new_day_s": round(daily, 2),
            "publish_replaced_day_s": round(again, 2),
            "publish_day_rows": one.rows,
            "bare_parquet_write_s": round(bare_write(made, more, Path(folder)), 2),
            "bytes_on_disk": sizes,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--lookups", type=int, default=1000, help="of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    result = measure(options.users, options.days, options.lookups)
    if options.json:
        print(json.dumps(result))
        return
    kinds = result.pop("lookups")
    assert isinstance(kinds, dict)
    print(f"{'lookup':<32}{'p50 [ms]':>10}{'p99 [ms]':>10}")
    for kind, figures in kinds.items():
        print(f"{kind:<32}{figures['p50_ms']:>10.2f}{figures['p99_ms']:>10.2f}")
    for name, value in result.items():
        print(f"{name:<32}{value}")


if __name__ == "__main__":
    main()
