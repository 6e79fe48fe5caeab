"""
What building one day costs: with a short and a long history, and beside one reading of its events.

Two stores have the same events for as many days as the short one knows, and build the same days:
again and again one that is asked for, and each time one more that a plain build finds on a clock
one day later. Both must give each day the same rows, or nothing is printed. A third store has many
more events a day and builds one; beside it stand a reading of the 31 days of events it is made of,
and the two things that no build can do without, each alone: their fingerprint, and their grouping.
Times are dbt's own for the model, one process after another, the stores in turn. The bars: a long
history costs a tenth more or less at most, and one day twice the reading.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import Bar, table, to_json
from benchmarks.scratch import bare, content, dbt, generate

FIRST = date(2024, 1, 1)
GROWTH_AT_LEAST, GROWTH = 0.9, 1.1
READINGS = 2.0
# Each is on another clock, with which dbt parses anew; no bar hangs on them.
FOUND_RUNS = 2


@dataclass(frozen=True, slots=True)
class Store:
    """A feature store of this benchmark's own."""

    folder: Path
    # Days of events before the newest day that is built at first.
    days: int
    last: date

    @property
    def events(self) -> str:
        """Glob of the files of events."""
        return str(self.folder / "events" / "*.parquet")

    def ask(self, day: date) -> float:
        """Build a day by range; return dbt's time for the model [s]."""
        return self._build("asked", self.last, start_date=str(day), end_date=str(day))

    def find(self, newest: date, *args: str) -> float:
        """Build what is missing or changed on the morning after *newest*; seconds as `ask`."""
        return self._build("found", newest, *args)

    def _build(self, kind: str, newest: date, *args: str, **variables: str) -> float:
        done = dbt(
            self.folder,
            newest + timedelta(days=1),
            *("--quiet", "run", "--select", "features_daily", *args),
            variables={
                "events_path": self.events,
                "labels_path": str(self.folder / "labels.parquet"),
                **variables,
            },
            # dbt parses anew where vars are others than in the last command of the same target.
            target=f"target_{kind}",
        )
        return done.seconds["features_daily"]


# What is done with the events of a day's window, each over the same reading.
_PARTS = {
    "reading": "select count(user_id), max(user_id), max(event_type), max(ts) from window_events",
    "fingerprint": """
        select cast(ts as date) as day, count(*), sum(hash(user_id, event_type, ts))
        from window_events group by all
    """,
    "grouping": """
        create table grouped as
        select user_id, event_type, ts >= date '{week}' as is_recent, count(*) as n, max(ts) as ts
        from window_events group by all
    """,
}


def _part(store: Store, name: str, day: date) -> float:
    """Do one part of a build alone; seconds."""
    window = f"""
        select user_id, event_type, ts from read_parquet('{store.events}')
        where ts >= date '{day - timedelta(days=30)}' and ts < date '{day}' + 1
    """
    query = _PARTS[name].format(week=day - timedelta(days=6))
    return bare(query.replace("window_events", f"({window}) as window_events"))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--events-per-day", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--days", type=int, nargs=2, default=(30, 365))
    parser.add_argument("--read-users", type=int, default=200_000, help="of the third store")
    parser.add_argument("--read-events-per-day", type=int, default=220_000)
    parser.add_argument(
        "--files", choices=["day", "month"], default="day", help="events a file, of the first two"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="one-day-build-"))
    try:
        report = _grow(_make(scratch, options), options.runs) | _read(scratch, options)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    compared = bars(report)
    if options.json:
        print(json.dumps({**report, "bars": [to_json(bar) for bar in compared]}))
    else:
        print(table(compared))
    return 0


def bars(report: dict[str, Any]) -> list[Bar]:
    """Compare the long history with the short one, and one day with a reading of its events."""
    short, long = report["days"]
    growth = [
        Bar(
            what=f"one day {kind}, {long} days of history",
            unit="s",
            ours=seconds[long],
            peer=f"{short} days of history",
            theirs=seconds[short],
            limit=limit,
            at_least=limit == GROWTH_AT_LEAST,
        )
        for kind, seconds, limits in (
            ("asked for", report["asked_for_seconds"], (GROWTH_AT_LEAST, GROWTH)),
            # Compares the events of `healing_horizon_days`, of which the short history has fewer.
            ("found", report["found_seconds"], (None,)),
        )
        for limit in limits
    ]
    parts = report["part_seconds"]
    return [
        *growth,
        Bar(
            what="one day asked for, many events",
            unit="s",
            ours=report["many_seconds"],
            peer="one reading of its 31 days of events",
            theirs=parts["reading"],
            limit=READINGS,
        ),
        *(
            Bar(
                what=f"of that the floor: their {name} alone",
                unit="s",
                ours=parts[name],
                peer="one reading of them",
                theirs=parts["reading"],
            )
            for name in ("fingerprint", "grouping")
        ),
    ]


def _make(scratch: Path, options: argparse.Namespace) -> list[Store]:
    short, long = sorted(options.days)
    # Days more than are built at first: the plain build finds them one at a time.
    total = long + 1 + FOUND_RUNS
    whole, part = scratch / str(long), scratch / str(short)
    generate(
        whole,
        users=options.users,
        days=total,
        events=total * options.events_per_day,
        labels=1000,
        start=FIRST,
    )
    (part / "events").mkdir(parents=True)
    shutil.copy(whole / "labels.parquet", part)
    for file in sorted((whole / "events").glob("*.parquet"))[long - short :]:
        shutil.copy(file, part / "events")
    last = FIRST + timedelta(days=long)
    stores = [Store(part, short, last), Store(whole, long, last)]
    for store in stores:
        if options.files == "month":
            _merge(store.folder / "events")
        store.find(last, "--select", "stg_events")
    return stores


def _merge(events: Path) -> None:
    """Put the days of each month into one file, still sorted by time."""
    months: dict[str, list[str]] = {}
    for file in sorted(events.glob("*.parquet")):
        months.setdefault(file.stem[:7], []).append(str(file))
    for month, files in months.items():
        duckdb.execute(
            f"copy (select * from read_parquet({files}) order by ts) "
            f"to '{events / month}.parquet' (compression zstd)"
        )
        for merged in files:
            Path(merged).unlink()


def _grow(stores: list[Store], runs: int) -> dict[str, Any]:
    asked: dict[int, list[float]] = {store.days: [] for store in stores}
    found: dict[int, list[float]] = {store.days: [] for store in stores}
    last = stores[0].last
    for store in stores:
        # Not counted: dbt parses with these vars.
        store.ask(last)
    for run in range(runs):
        newest = last + timedelta(days=run + 1)
        for store in stores if run % 2 else reversed(stores):
            asked[store.days].append(store.ask(last))
            if run < FOUND_RUNS:
                found[store.days].append(store.find(newest))
        for day in (last, newest) if run < FOUND_RUNS else (last,):
            contents = {content(store.folder, day) for store in stores}
            if len(contents) != 1:
                sys.exit(f"{day} differs: {contents}")
    return {
        "days": [store.days for store in stores],
        "asked_for_seconds": asked,
        "found_seconds": found,
    }


def _read(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    store = Store(scratch / "read", 30, FIRST + timedelta(days=30))
    generate(
        store.folder,
        users=options.read_users,
        days=31,
        events=31 * options.read_events_per_day,
        labels=1000,
        start=FIRST,
    )
    # Not counted: the first build makes the table, and dbt parses.
    store.find(FIRST, "--select", "stg_events")
    store.ask(store.last)
    many, contents = [], set()
    parts: dict[str, list[float]] = {name: [] for name in _PARTS}
    for _ in range(options.runs):
        for name, seconds in parts.items():
            seconds.append(_part(store, name, store.last))
        many.append(store.ask(store.last))
        contents.add(content(store.folder, store.last))
    if len(contents) != 1:
        sys.exit(f"{store.last} differs from run to run: {contents}")
    return {"many_seconds": many, "part_seconds": parts}


if __name__ == "__main__":
    sys.exit(main())
