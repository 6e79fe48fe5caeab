"""
What building one day costs with a short and with a long history.

Makes events of 395 days, and a second store that keeps only the last 60 of them, so that both build
the same days from the same events. Builds all, then one day again and again: once asked for by
range, once found by a plain build on a clock one day later. Times are dbt's own for the model, one
process after another, the two histories in turn. Both histories must give the day the same rows, or
nothing is printed. Beside it stands one reading of the 31 days of events. The bars: a long history
costs a tenth more at most, and one day twice the reading.
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
GROWTH = 1.1
READINGS = 2.0


@dataclass(frozen=True, slots=True)
class History:
    """One store with so many days of history."""

    folder: Path
    days: int
    # The newest day that is built before the measurement.
    last: date

    def dbt(self, now: date, *args: str, **variables: str) -> float:
        """Run the features model; return dbt's time for it [s]."""
        done = dbt(
            self.folder,
            now,
            *("--quiet", "run", "--select", "features_daily", *args),
            variables={
                "events_path": str(self.folder / "events" / "*.parquet"),
                "labels_path": str(self.folder / "labels.parquet"),
                **variables,
            },
        )
        return done.seconds["features_daily"]

    def read(self, day: date) -> float:
        """Read every column of the events that the day is made of once; seconds."""
        return bare(
            f"""
            select count(user_id), max(user_id), max(event_type), max(ts)
            from read_parquet('{self.folder / "events" / "*.parquet"}')
            where ts >= date '{day - timedelta(days=30)}' and ts < date '{day}' + 1
            """
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--events-per-day", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--days", type=int, nargs=2, default=(60, 395))
    parser.add_argument(
        "--files",
        choices=["day", "month"],
        default="day",
        help="events a file: a build opens the footer of every file, whatever its days",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="one-day-build-"))
    try:
        histories = _make(scratch, options)
        report = _measure(histories, options.runs)
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
    kinds = {"asked for": report["asked_for_seconds"], "found": report["found_seconds"]}
    growth = [
        Bar(
            what=f"one day {kind}, {long} days of history",
            unit="s",
            ours=seconds[long],
            peer=f"{short} days of history",
            theirs=seconds[short],
            limit=GROWTH,
        )
        for kind, seconds in kinds.items()
    ]
    reading = Bar(
        what="one day asked for",
        unit="s",
        ours=report["asked_for_seconds"][short],
        peer="one reading of its 31 days of events",
        theirs=report["read_seconds"],
        limit=READINGS,
    )
    return [*growth, reading]


def _make(scratch: Path, options: argparse.Namespace) -> list[History]:
    short, long = sorted(options.days)
    # Days more than are built at first: the plain build finds them one at a time.
    total = long + options.runs + 1
    whole = scratch / str(long)
    generate(
        whole,
        users=options.users,
        days=total,
        events=total * options.events_per_day,
        labels=1000,
        start=FIRST,
    )
    part = scratch / str(short)
    (part / "events").mkdir(parents=True)
    shutil.copy(whole / "labels.parquet", part)
    for file in sorted((whole / "events").glob("*.parquet"))[long - short :]:
        shutil.copy(file, part / "events")
    last = FIRST + timedelta(days=long - 1)
    histories = [History(part, short, last), History(whole, long, last)]
    for history in histories:
        if options.files == "month":
            _merge(history.folder / "events")
        history.dbt(last + timedelta(days=1), "--select", "stg_events")
    return histories


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


def _measure(histories: list[History], runs: int) -> dict[str, Any]:
    asked: dict[int, list[float]] = {h.days: [] for h in histories}
    found: dict[int, list[float]] = {h.days: [] for h in histories}
    read = []
    for run in range(runs):
        newest = histories[0].last + timedelta(days=run)
        now = newest + timedelta(days=1)
        read.append(histories[0].read(newest))
        for history in histories:
            asked[history.days].append(
                history.dbt(now, start_date=str(newest), end_date=str(newest))
            )
            found[history.days].append(history.dbt(now + timedelta(days=1)))
        contents = {content(history.folder, newest) for history in histories}
        if len(contents) != 1:
            sys.exit(f"{newest} differs: {contents}")
    return {
        "days": [h.days for h in histories],
        "asked_for_seconds": asked,
        "found_seconds": found,
        "read_seconds": read,
    }


if __name__ == "__main__":
    sys.exit(main())
