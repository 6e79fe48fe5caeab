"""
What a backfill costs as its range and its events grow: time, peak memory and disk.

Ranges of several lengths are built of the same events, and one range of as many days of events of
several sizes, each into a store of its own. Users grow with the events. The days that two ranges
share must hold the same rows, or nothing is printed. Each build is compared with one pass over the
same events, `group by user_id, day, event_type` in a DuckDB of its own. The bars: the shortest
range takes at most 6 passes, an event or a day more costs what the others do, and a fifth more at
most.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import Bar, table, to_json
from benchmarks.scratch import bare, content, dbt, generate

FIRST = date(2023, 12, 1)
PASSES = 6.0
PER_UNIT = 1.2


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--users", type=int, default=20_000, help="of size 1")
    parser.add_argument("--events-per-day", type=int, default=22_000, help="of size 1")
    parser.add_argument("--days", type=int, nargs="+", default=[10, 30, 60], help="at size 1")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10], help="of the second range, besides size 1"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="backfill-"))
    try:
        report = _measure(scratch, options)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    compared = bars(report)
    if options.json:
        print(json.dumps({"runs": report, "bars": [to_json(bar) for bar in compared]}))
    else:
        print(_table(report), table(compared), sep="\n\n")
    return 0


def bars(report: list[dict[str, Any]]) -> list[Bar]:
    """Compare each build with its pass, and what a day and an event cost with the next smaller."""
    kinds = sorted({(run["size"], run["days"]) for run in report})
    runs = {kind: [run for run in report if (run["size"], run["days"]) == kind] for kind in kinds}
    ranges = [kind for kind in kinds if kind[0] == 1]
    sizes = [kind for kind in kinds if kind[1] == ranges[1][1]]
    passes = [
        Bar(
            what=f"backfill of {_name(kind)}",
            unit="s",
            ours=[run["seconds"] for run in runs[kind]],
            peer="one pass of its events",
            theirs=[run["pass_seconds"] for run in runs[kind]],
            # Of the smaller ones, most is dbt's own time.
            limit=PASSES if kind == kinds[-1] else None,
        )
        for kind in kinds
    ]
    growth = [
        Bar(
            what=f"{unit} of {_name(larger)}",
            unit="ms" if unit == "day" else "us",
            ours=[run["seconds"] / run[f"{unit}s"] * scale for run in runs[larger]],
            peer=f"{unit} of {_name(smaller)}",
            theirs=[run["seconds"] / run[f"{unit}s"] * scale for run in runs[smaller]],
            limit=PER_UNIT,
        )
        for unit, scale, row in (("day", 1e3, ranges), ("event", 1e6, sizes))
        for smaller, larger in pairwise(row)
    ]
    return [*passes, *growth]


def _name(kind: tuple[int, int]) -> str:
    size, days = kind
    return f"{days} days" + (f", {size} times the events" if size > 1 else "")


def _measure(scratch: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    ranges = sorted(options.days)
    ranges_by_size = {1: ranges} | {size: [ranges[1]] for size in options.sizes if size > 1}
    events = {
        size: _generate(scratch / f"input_{size}", size, max(ranges), options)
        for size, ranges in ranges_by_size.items()
    }
    report: list[dict[str, Any]] = []
    shared: dict[int, set[str]] = {size: set() for size in ranges_by_size}
    for _ in range(options.runs):
        for size, ranges in ranges_by_size.items():
            # 30 days before the first built day fill its windows.
            last = FIRST + timedelta(days=max(ranges) + 29)
            for days in ranges:
                store = scratch / "store"
                shutil.rmtree(store, ignore_errors=True)
                report.append(
                    {
                        "size": size,
                        "days": days,
                        "events": (days + 30) * size * options.events_per_day,
                        **_build(store, events[size], last, days),
                        "pass_seconds": _one_pass(events[size], last, days),
                    }
                )
                shared[size].add(content(store, last))
    for size, contents in shared.items():
        if len(contents) != 1:
            sys.exit(f"the newest day of size {size} differs: {contents}")
    return report


def _generate(folder: Path, size: int, days: int, options: argparse.Namespace) -> str:
    return generate(
        folder,
        users=size * options.users,
        days=days + 30,
        events=(days + 30) * size * options.events_per_day,
        labels=0,
        start=FIRST,
    )["events_path"]


def _build(store: Path, events: str, last: date, days: int) -> dict[str, Any]:
    """Build a range into an empty store."""
    variables: Mapping[str, object] = {
        "events_path": events,
        "labels_path": "none",
        "start_date": str(last - timedelta(days=days - 1)),
        "end_date": str(last),
    }
    done = dbt(
        store,
        last + timedelta(days=1),
        *("run", "--select", "stg_events", "features_daily"),
        variables=variables,
    )
    warehouse = store / "home" / "warehouse.duckdb"
    return {
        "rows": _rows(warehouse),
        "seconds": done.seconds["features_daily"],
        "peak_mb": done.peak,
        "disk_mb": warehouse.stat().st_size >> 20,
    }


def _one_pass(events: str, last: date, days: int) -> float:
    """Group the events that a range is made of once, into a table; seconds."""
    return bare(
        f"""
        create table passed as
        select user_id, ts::date as day, event_type, count(*) as events
        from read_parquet('{events}')
        where ts >= date '{last - timedelta(days=days + 29)}' and ts < date '{last}' + 1
        group by all
        """
    )


def _rows(warehouse: Path) -> int:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        ((rows,),) = connection.execute(
            "select count(*) from feature_store.features_daily"
        ).fetchall()
    return int(rows)


def _table(report: list[dict[str, Any]]) -> str:
    lines = [
        "| days | events | rows | build [s] | peak [MB] | warehouse [MB] |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {run['days']} | {run['events']:,} | {run['rows']:,} | {run['seconds']:.1f} "
        f"| {run['peak_mb']} | {run['disk_mb']} |"
        for run in sorted(report, key=lambda run: (run["size"], run["days"]))
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
