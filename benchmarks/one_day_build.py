"""
What building one day costs with a short and with a long history.

Makes events of 395 days, and a second store that keeps only the last 60 of them, so that both build
the same days from the same events. Builds all, then one day again and again: once asked for by
range, once found by a plain build on a clock one day later. Times are dbt's own for the model, one
process after another, the two histories in turn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks.scratch import dbt, generate

FIRST = date(2024, 1, 1)


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
    print(json.dumps(report) if options.json else _table(report))
    return 0


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


def _measure(histories: list[History], runs: int) -> dict[str, object]:
    asked: dict[int, list[float]] = {h.days: [] for h in histories}
    found: dict[int, list[float]] = {h.days: [] for h in histories}
    for run in range(runs):
        for history in histories:
            newest = str(history.last + timedelta(days=run))
            now = history.last + timedelta(days=run + 1)
            asked[history.days].append(history.dbt(now, start_date=newest, end_date=newest))
            found[history.days].append(history.dbt(now + timedelta(days=1)))
    short, long = (h.days for h in histories)
    return {
        "days": [short, long],
        "asked_for_seconds": asked,
        "found_seconds": found,
        "asked_for_ratio": statistics.median(
            b / a for a, b in zip(asked[short], asked[long], strict=True)
        ),
        "found_ratio": statistics.median(
            b / a for a, b in zip(found[short], found[long], strict=True)
        ),
    }


def _table(report: dict[str, object]) -> str:
    lines = ["| one day | history [days] | median [s] | min | max |", "|---|---|---|---|---|"]
    for name in ("asked_for", "found"):
        times = report[f"{name}_seconds"]
        assert isinstance(times, dict)
        for days, seconds in times.items():
            lines.append(
                f"| {name.replace('_', ' ')} | {days} | {statistics.median(seconds):.2f} "
                f"| {min(seconds):.2f} | {max(seconds):.2f} |"
            )
        lines.append(
            f"| {name.replace('_', ' ')}, long/short | | {report[f'{name}_ratio']:.2f} | | |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
