"""
How long an offline lookup takes, on a store and on one of ten times as many days.

Makes users with random ids and random activity, publishes them day by day through the materializer,
and times lookups at random times of active, closed and unknown entities in this process, next to a
bare DuckDB read of the one Parquet file that holds the row. Stores and kinds are sent in turn, one
lookup each; every answer is checked against the generated rows, or nothing is reported. Footers
are read before the clock starts, as in a server that has run for a minute; the first lookup of all
is reported next to them.

    python -m benchmarks.offline_lookup --users 200000 --days 30 300 --runs 5
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from benchmarks.report import Bar, print_bars
from materializer.config import Settings
from materializer.errors import UnknownEntity
from materializer.offline.catalog import open_catalog, table_name
from materializer.offline.lookup import OfflineReader
from materializer.offline.publish import publish_days
from materializer.offline.read import files_by_day
from tests.support.group import GROUP

FIRST = date(2024, 1, 1)
KINDS = ("active", "closed", "unknown")
BAR_P50 = 3.0
BAR_P99 = 8.0
BAR_GROWTH = 1.15
# No slower than active: beyond this it is no noise.
BAR_KINDS = 1.1

_BARE = "select * from read_parquet(?) where user_id = ?"


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
        """Pick users by hash."""
        rows = self._connection.execute(
            "select user_id from users where closes = ? order by hash(user_id, 3) limit ?",
            [closed, count],
        ).fetchall()
        return [row[0] for row in rows]

    def last_day(self, *, closed: bool) -> date:
        """Return the last day of those who stop, or of the others."""
        return FIRST + timedelta(days=(self._days // 2 if closed else self._days) - 1)

    def rows(
        self, request: Sequence[tuple[str, date]]
    ) -> dict[tuple[str, date], tuple[date, int, int]]:
        """Tell day, 7-day and 30-day count of users on days, as `day` makes them."""
        pairs = pa.table(
            {"user_id": [user for user, _ in request], "day": [day for _, day in request]},
            schema=pa.schema([("user_id", pa.string()), ("day", pa.date32())]),
        )
        self._connection.register("pairs", pairs)
        found = self._connection.execute(
            "select user_id, day, hash(user_id, day) % 50, hash(user_id, day) % 200 from pairs"
        ).fetchall()
        return {(user, day): (day, week, month) for user, day, week, month in found}


@dataclass(slots=True)
class Asked:
    """One question, and its answer: the day of the row, None where there is no such user."""

    user: str
    moment: datetime
    day: date | None


@dataclass(slots=True)
class Store:
    """
    One published store, and what its lookups took.

    Attributes:
        days: Days of history.
        users: Who is in it.
        reader: Answers the lookups.
        paths: The data file of each day.
        engine: Reads them bare.
        taken: Kind -> for each run, what each lookup took [ms]; `bare` is one of them.
    """

    days: int
    users: Users
    reader: OfflineReader
    paths: dict[date, str]
    engine: duckdb.DuckDBPyConnection
    taken: dict[str, list[list[float]]] = field(default_factory=dict)

    def questions(self, kind: str, count: int, seed: int) -> list[Asked]:
        """Ask of users at random, at times in the newer half of the days."""
        chance = random.Random(seed)
        end = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=self.days)
        if kind == "unknown":
            ids = [f"user_{chance.getrandbits(64):016x}" for _ in range(count)]
        else:
            ids = chance.sample(self.users.ids(closed=kind == "closed", count=20 * count), count)
        request = []
        for user in ids:
            moment = end - timedelta(hours=chance.uniform(0, 12 * self.days - 24))
            known = moment.date() - timedelta(days=1)
            last = self.users.last_day(closed=kind == "closed")
            request.append(Asked(user, moment, None if kind == "unknown" else min(known, last)))
        return request

    def look_up(self, one: Asked) -> tuple[float, dict[str, Any] | None]:
        """Ask once; what it took [ms], and the row."""
        row = None
        started = time.perf_counter()
        with suppress(UnknownEntity):
            row = self.reader.lookup(GROUP.name, (one.user,), one.moment)
        return 1000 * (time.perf_counter() - started), row

    def read_bare(self, one: Asked) -> tuple[float, dict[str, Any] | None]:
        """Read the row that answers from its file, which is known; what it took [ms], and it."""
        assert one.day is not None
        path = self.paths[one.day]
        started = time.perf_counter()
        [row] = self.engine.execute(_BARE, [path, one.user]).fetchall()
        taken = 1000 * (time.perf_counter() - started)
        names = [column[0] for column in self.engine.description or ()]
        return taken, dict(zip(names, row, strict=True))

    def require(self, request: Sequence[Asked], rows: Sequence[dict[str, Any] | None]) -> None:
        """End unless each row is the one that was made."""
        made = self.users.rows([(one.user, one.day) for one in request if one.day is not None])
        for one, row in zip(request, rows, strict=True):
            found = row and (row["day"], row["event_count_7d"], row["event_count_30d"])
            expected_rows = None if one.day is None else made[one.user, one.day]
            if found != expected_rows:
                sys.exit(f"{one.user} at {one.moment}: {found}, and not {expected_rows}")

    def p50(self, kind: str) -> list[float]:
        """Give the median of each run [ms]."""
        return [statistics.median(run) for run in self.taken[kind]]

    def p99(self, kind: str) -> float:
        """Give the 99th percentile over all runs [ms]."""
        every = sorted(one for run in self.taken[kind] for one in run)
        return every[int(len(every) * 0.99)]


class Turn:
    """The questions of one kind to one store in one run, and what came of them."""

    def __init__(self, store: Store, kind: str, count: int, seed: int) -> None:
        self.store = store
        self.kind = kind
        # Of the rows that `active` asks for.
        self.request = store.questions("active" if kind == "bare" else kind, count, seed)
        self.taken: list[float] = []
        self.rows: list[dict[str, Any] | None] = []

    def take(self, number: int) -> None:
        """Ask one."""
        ask = self.store.read_bare if self.kind == "bare" else self.store.look_up
        taken, row = ask(self.request[number])
        self.taken.append(taken)
        self.rows.append(row)


def publish(catalog: Catalog, users: Users, days: Sequence[date], sequence: int = 1) -> None:
    """Publish days, telling the progress on standard error."""
    publish_days(
        catalog,
        GROUP,
        days=days,
        rows=users.day,
        warehouse_id="benchmark",
        ledger_sequence=sequence,
        progress=lambda done, days: print(f"\r{done} of {days} days ", end="", file=sys.stderr),
    )
    print(file=sys.stderr)


def open_store(home: Path, users: int, days: int) -> Store:
    """Make and publish a store."""
    catalog = open_catalog(Settings(home), environ={})
    made = Users(users, days)
    publish(catalog, made, [FIRST + timedelta(days=number) for number in range(days)])
    files = files_by_day(catalog.load_table(table_name(GROUP.name)))
    paths = {day: some[0].file_path.removeprefix("file://") for day, some in files.items()}
    return Store(days, made, OfflineReader(catalog), paths, duckdb.connect())


def measure(stores: Sequence[Store], count: int, runs: int) -> None:
    """
    Ask of every store and kind in turn, one lookup each, so that all meet the same weather.

    The first run reads footers, and is checked but not counted. Who comes first changes from one
    lookup to the next: after a read by DuckDB, which fills the processor's caches, any other is
    slower.
    """
    for run in range(runs + 1):
        print(f"\rrun {run} of {runs} ", end="", file=sys.stderr)
        # Enough that the footers of all files requested are read.
        many = count if run else max(count, 4 * max(store.days for store in stores))
        turns = [Turn(store, kind, many, run) for store in stores for kind in (*KINDS, "bare")]
        chance = random.Random(run)
        for number in range(many):
            for turn in chance.sample(turns, len(turns)):
                turn.take(number)
        for turn in turns:
            turn.store.require(turn.request, turn.rows)
            if run:
                turn.store.taken.setdefault(turn.kind, []).append(turn.taken)
    print(file=sys.stderr)


def bars(stores: Sequence[Store]) -> list[Bar]:
    """Compare with the bare read, with the smaller store, and the kinds with one another."""
    found = []
    for store in stores:
        where = f"{store.days} days"
        active, bare = store.p50("active"), store.p50("bare")
        what = f"active, {where}"
        found.append(Bar(f"{what}, p50", "ms", active, "bare read, p50", bare, BAR_P50))
        slowest = [store.p99("active")]
        typical = [statistics.median(bare)]
        found.append(Bar(f"{what}, p99", "ms", slowest, "bare read, p50", typical, BAR_P99))
        found.append(Bar(f"{what}, p99", "ms", slowest, "bare read, p99", [store.p99("bare")]))
        for kind in KINDS[1:]:
            mine = store.p50(kind)
            found.append(Bar(f"{kind}, {where}, p50", "ms", mine, "active, p50", active, BAR_KINDS))
    few, *_, many = stores
    for kind in KINDS if few is not many else ():
        what, peer = f"{kind}, {many.days} days, p50", f"{few.days} days, p50"
        found.append(Bar(what, "ms", many.p50(kind), peer, few.p50(kind), BAR_GROWTH))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, nargs="+", default=[30, 300], help="of each store")
    parser.add_argument("--lookups", type=int, default=300, help="of each kind in a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-lookup-") as name:
        stores = [
            open_store(Path(name) / str(days), options.users, days) for days in sorted(options.days)
        ]
        [question] = stores[-1].questions("active", 1, 0)
        first, row = stores[-1].look_up(question)
        stores[-1].require([question], [row])
        measure(stores, options.lookups, options.runs)
    compared = bars(stores)
    compared.append(Bar(f"first lookup of all, {stores[-1].days} days", "ms", [first]))
    print_bars(compared, options.json, users=options.users, days=sorted(options.days))
    return 0


if __name__ == "__main__":
    sys.exit(main())
