"""
What the gate costs beside the join that it guards.

Builds features and training data once, then in turn the training join (dbt's time for
`training_data`) and the gate's tests one at a time. The bar: the oracle of the label rows takes at
most 4 times the join. Every test must pass, or nothing is printed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks.scratch import dbt, generate

FIRST = date(2024, 1, 1)
JOIN = "training_data"
BAR = {"training_data_equals_oracle": 4.0}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--events", type=int, default=9_000_000)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.1, help="also measured with this sample")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="gate-"))
    try:
        report = _measure(scratch, options)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps(report) if options.json else _table(report))
    return 0


def _measure(scratch: Path, options: argparse.Namespace) -> dict[str, object]:
    now = FIRST + timedelta(days=options.days)
    variables = generate(
        scratch,
        users=options.users,
        days=options.days,
        events=options.events,
        labels=options.labels,
        start=FIRST,
    )
    dbt(scratch, now, "run", variables=variables)
    seconds: dict[str, list[float]] = {}
    one = ("--threads", "1")
    for _ in range(options.runs):
        join = dbt(scratch, now, "run", "--select", JOIN, *one, variables=variables)
        gate = dbt(scratch, now, "test", "--select", "tag:gate", *one, variables=variables)
        part = dbt(
            scratch,
            now,
            *("test", "--select", *BAR, *one),
            variables={**variables, "gate_sample_share": options.share},
        )
        bad = [name for name, status in gate.statuses.items() if status in ("fail", "error")]
        if bad:
            sys.exit(f"{', '.join(bad)} failed: {gate.output}")
        for name, value in {**join.seconds, **gate.seconds}.items():
            seconds.setdefault(name, []).append(value)
        for name in BAR:
            label = f"{name}, {options.share:g} of the keys"
            seconds.setdefault(label, []).append(part.seconds[name])
    with duckdb.connect(str(scratch / "home" / "warehouse.duckdb"), read_only=True) as warehouse:
        rows = {
            name: warehouse.execute(f"select count(*) from feature_store.{name}").fetchall()[0][0]
            for name in ("features_daily", JOIN)
        }
    shown = {name: s for name, s in seconds.items() if not name.startswith("feature_store-on-run")}
    return {
        "rows": rows,
        "seconds": shown,
        "ratios": {
            name: [value / join for value, join in zip(values, shown[JOIN], strict=True)]
            for name, values in shown.items()
        },
    }


def _table(report: dict[str, object]) -> str:
    rows, seconds, ratios = report["rows"], report["seconds"], report["ratios"]
    assert isinstance(rows, dict)
    assert isinstance(seconds, dict)
    assert isinstance(ratios, dict)
    lines = [
        f"{rows['features_daily']:,} feature rows, {rows[JOIN]:,} labels",
        "",
        "| node | median [s] | min | max | times the join | bar |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in sorted(seconds.items(), key=lambda item: -statistics.median(item[1])):
        lines.append(
            f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} "
            f"| {statistics.median(ratios[name]):.2f} | {BAR.get(name, '')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
