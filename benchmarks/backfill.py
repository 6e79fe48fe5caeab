"""
What a backfill costs as its range grows: time, peak memory and disk.

Each range is built into a store of its own, whose events are the same. The days that two ranges
share must hold the same rows, or nothing is printed. The bar: peak memory stays as it is.
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

import duckdb

from benchmarks.scratch import dbt, generate

FIRST = date(2023, 12, 1)


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
    print(json.dumps(report) if options.json else _table(report))
    return 0


def _measure(scratch: Path, options: argparse.Namespace) -> list[dict[str, object]]:
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
    report = []
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
        rows, newest = _look(warehouse, last)
        shared.add(newest)
        report.append(
            {
                "days": days,
                "rows": rows,
                "seconds": done.seconds["features_daily"],
                "peak_mb": done.peak,
                "disk_mb": warehouse.stat().st_size >> 20,
            }
        )
    if len(shared) != 1:
        sys.exit(f"the newest day differs: {shared}")
    return report


def _look(warehouse: Path, last: date) -> tuple[int, str]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        ((rows,),) = connection.execute(
            "select count(*) from feature_store.features_daily"
        ).fetchall()
        ((newest,),) = connection.execute(
            "select content from feature_store.build_ledger where day = ?", [last]
        ).fetchall()
    return int(rows), str(newest)


def _table(report: list[dict[str, object]]) -> str:
    lines = ["| days | rows | build [s] | peak [MB] | warehouse [MB] |", "|---|---|---|---|---|"]
    lines += [
        f"| {run['days']} | {run['rows']:,} | {run['seconds']:.1f} | {run['peak_mb']} "
        f"| {run['disk_mb']} |"
        for run in sorted(report, key=lambda run: str(run["days"]).zfill(6))
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
