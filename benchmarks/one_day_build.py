"""
What building one day costs: with a short and a long history, and next to one reading of its events.

Two stores have the same events for as many days as the short one knows, and build the same day
again and again. Both must give it the same rows, or nothing is printed. A third store has many
more events a day and builds one; next to it stand a reading of the 31 days of events it is made of,
and the two things that no build can do without, each alone: their fingerprint, and their grouping.
Times are dbt's own for the model, one process after another, the stores in turn. The bars: a long
history costs a tenth more at most, and one day twice the reading.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import Bar, print_bars
from benchmarks.scratch import bare, content, dbt, generate

FIRST = date(2024, 1, 1)
GROWTH = 1.1
READINGS = 2.0


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

    def make(self) -> None:
        """Make the view of the events."""
        self._run("--select", "stg_events")

    def ask(self, day: date) -> float:
        """Build a day by range; return dbt's time for the model [s]."""
        seconds = self._run("--select", "features_daily", start_date=str(day), end_date=str(day))
        return seconds["features_daily"]

    def _run(self, *args: str, **variables: str) -> Mapping[str, float]:
        return dbt(
            self.folder,
            self.last + timedelta(days=1),
            *("--quiet", "run", *args),
            variables={
                "events_path": self.events,
                "labels_path": str(self.folder / "labels.parquet"),
                **variables,
            },
        ).seconds


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
        # Twice the pairs: what a longer history costs is less than what one run differs by.
        report = _grow(_make(scratch, options), 2 * options.runs) | _read(scratch, options)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    compared = bars(report)
    print_bars(compared, options.json, **report)
    return 0


def bars(report: dict[str, Any]) -> list[Bar]:
    """Compare the long history with the short one, and one day with a reading of its events."""
    short, long = report["days"]
    seconds = report["asked_for_seconds"]
    growth = Bar(
        what=f"one day, {long} days of history",
        unit="s",
        ours=seconds[long],
        peer=f"{short} days of history",
        theirs=seconds[short],
        limit=GROWTH,
    )
    parts = report["part_seconds"]
    return [
        growth,
        Bar(
            what="one day, many events",
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
    total = long + 1
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
        store.make()
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
    request: dict[int, list[float]] = {store.days: [] for store in stores}
    last = stores[0].last
    for store in stores:
        # Not counted: the first build makes the table, and dbt parses.
        store.ask(last)
    for run in range(runs):
        for store in stores if run % 2 else reversed(stores):
            request[store.days].append(store.ask(last))
        contents = {content(store.folder, last) for store in stores}
        if len(contents) != 1:
            sys.exit(f"{last} differs: {contents}")
    return {"days": [store.days for store in stores], "asked_for_seconds": request}


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
    store.make()
    # Not counted, as above.
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
