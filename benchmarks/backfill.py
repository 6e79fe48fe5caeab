"""
What a backfill costs as its range grows: time, peak memory and disk.

Each range is built into a store of its own, whose events are the same. The days that two ranges
share must hold the same rows, or nothing is printed. Beside each build stands one pass over the
same events, `group by user_id, day, event_type` in a DuckDB of its own. The bars: the shortest
range takes at most 6 passes, and peak memory stays as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import Bar, table, to_json
from benchmarks.scratch import bare, content, dbt, generate

FIRST = date(2023, 12, 1)
PASSES = 6.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=10_000_000, help="in the longest range")
    parser.add_argument("--days", type=int, nargs="+", default=[30, 90, 365])
    parser.add_argument("--runs", type=int, default=3)
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
    """Compare each range with its pass; the bar is that of the shortest."""
    ranges = sorted({run["days"] for run in report})
    seconds = {d: [run["seconds"] for run in report if run["days"] == d] for d in ranges}
    passes = {d: [run["pass_seconds"] for run in report if run["days"] == d] for d in ranges}
    return [
        Bar(
            what=f"backfill of {days} days",
            unit="s",
            ours=seconds[days],
            peer="one pass of its events",
            theirs=passes[days],
            limit=PASSES if days == ranges[0] else None,
        )
        for days in ranges
    ]


def _measure(scratch: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    # 30 days before the first built day fill its windows.
    total = max(options.days) + 30
    events = generate(
        scratch / "input",
        users=options.users,
        days=total,
        events=round(options.events * total / max(options.days)),
        labels=0,
        start=FIRST,
    )["events_path"]
    last = FIRST + timedelta(days=total - 1)
    report: list[dict[str, Any]] = []
    shared: set[str] = set()
    for days in options.days * options.runs:
        store = scratch / str(days)
        shutil.rmtree(store, ignore_errors=True)
        variables: Mapping[str, object] = {"events_path": events}
        now = last + timedelta(days=1)
        dbt(store, now, "run", "--select", "stg_events", variables=variables)
        done = dbt(
            store,
            now,
            *("run", "--select", "features_daily"),
            variables={
                **variables,
                "start_date": str(last - timedelta(days=days - 1)),
                "end_date": str(last),
            },
        )
        warehouse = store / "home" / "warehouse.duckdb"
        shared.add(content(store, last))
        report.append(
            {
                "days": days,
                "rows": _rows(warehouse),
                "seconds": done.seconds["features_daily"],
                "pass_seconds": _one_pass(events, last, days),
                "peak_mb": done.peak,
                "disk_mb": warehouse.stat().st_size >> 20,
            }
        )
    if len(shared) != 1:
        sys.exit(f"the newest day differs: {shared}")
    return report


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
    lines = ["| days | rows | build [s] | peak [MB] | warehouse [MB] |", "|---|---|---|---|---|"]
    lines += [
        f"| {run['days']} | {run['rows']:,} | {run['seconds']:.1f} | {run['peak_mb']} "
        f"| {run['disk_mb']} |"
        for run in sorted(report, key=lambda run: str(run["days"]).zfill(6))
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
