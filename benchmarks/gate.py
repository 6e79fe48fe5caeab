"""
What the training join costs next to DuckDB's bare ASOF join and Feast's, and the gate next to it.

Builds features and training data once, then round by round: the training join (dbt's own time for
`training_data`), a bare `ASOF LEFT JOIN` of the same features and labels into a table of the same
columns, and the gate's tests one at a time. Then Feast joins the same labels with the same rows,
from file to file, in its fastest form. Every test must pass, and the bare join must come to the
same rows, or nothing is reported; Feast's lost and different labels are reported.

    python -m benchmarks.gate --users 200000 --labels 1000000
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks.peer.join import Joined
from benchmarks.peer.join import join as join_by_feast
from benchmarks.peer.repository import FEATURES, write_rows
from benchmarks.report import Bar, print_bars
from benchmarks.scratch import dbt, generate
from benchmarks.versus.push import find_feast

FIRST = date(2024, 1, 1)
JOIN = "training_data"
ORACLE = "training_data_equals_oracle"
# The last of them is the whole gate.
TIMES_THE_JOIN = 4.0
TIMES_BARE = 1.15
SHARE_OF_FEAST = 0.2
SAMPLED = (ORACLE, "features_daily_equals_oracle")
SELECTED = f"""
    select labels.user_id, label, as_of_ts,
        {", ".join(f"rows.{name}" for name in FEATURES)}, rows.available_at, rows.max_event_ts
    from labels
    asof left join store.feature_store.features_daily as rows
        on labels.user_id = rows.user_id and labels.as_of_ts >= rows.available_at
"""

Seconds = Mapping[str, Sequence[float]]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--events", type=int, default=9_000_000)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--share", type=float, help="also measure the oracles with this sample")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    feast, note = find_feast()
    scratch = Path(tempfile.mkdtemp(prefix="gate-"))
    try:
        rows, seconds, sampled = _measure(scratch, options)
        theirs = _feast(feast, scratch, options.runs) if feast else None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    compared = bars(rows, seconds, sampled, theirs, note)
    print_bars(compared, options.json, seconds={**seconds})
    return 0


def bars(
    rows: int, seconds: Seconds, sampled: Seconds, theirs: Joined | None, note: str
) -> list[Bar]:
    """Compare the join with both peers, and the gate and its tests with the join."""
    join = seconds[JOIN]
    tests = {name: taken for name, taken in seconds.items() if name not in (JOIN, "bare")}
    whole = [sum(taken) for taken in zip(*tests.values(), strict=True)]
    what = f"training join, {rows:,} labels"
    if theirs:
        note = f"Feast lost {theirs.missing:,} labels, {theirs.different:,} differ"
    found = [
        Bar(what, "s", join, "bare ASOF join", seconds["bare"], TIMES_BARE),
        Bar(what, "s", join, "Feast", theirs.seconds if theirs else (), SHARE_OF_FEAST, note=note),
        Bar("the whole gate", "s", whole, "the join", join, TIMES_THE_JOIN),
    ]
    for name, taken in sorted(tests.items(), key=lambda one: -max(one[1])):
        limit = TIMES_THE_JOIN if name == ORACLE else None
        found.append(Bar(name, "s", taken, "the join", join, limit))
    found += [Bar(name, "s", taken, "the join", join) for name, taken in sampled.items()]
    return found


def _measure(scratch: Path, options: argparse.Namespace) -> tuple[int, Seconds, Seconds]:
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
    sampled: dict[str, list[float]] = {}
    one = ("--threads", "1")
    for number in range(options.runs):
        print(f"\rround {number + 1} of {options.runs} ", end="", file=sys.stderr, flush=True)
        join = dbt(scratch, now, "run", "--select", JOIN, *one, variables=variables)
        taken = {"bare": _bare_join(scratch, variables["labels_path"])}
        gate = dbt(scratch, now, "test", "--select", "tag:gate", *one, variables=variables)
        bad = [name for name, status in gate.statuses.items() if status in ("fail", "error")]
        if bad:
            sys.exit(f"{', '.join(bad)} failed: {gate.output}")
        for name, value in {**join.seconds, **taken, **gate.seconds}.items():
            if not name.startswith("feature_store-on-run"):
                seconds.setdefault(name, []).append(value)
        if options.share:
            part = dbt(
                scratch,
                now,
                *("test", "--select", *SAMPLED, *one),
                variables={**variables, "gate_sample_share": options.share},
            )
            for name in SAMPLED:
                what = f"{name}, {options.share:g} of the keys"
                sampled.setdefault(what, []).append(part.seconds[name])
    print(file=sys.stderr)
    return options.labels, seconds, sampled


def _bare_join(scratch: Path, labels: str) -> float:
    """Join into a table of a file, as dbt does; it must hold the same rows [s]."""
    file = scratch / "bare.duckdb"
    file.unlink(missing_ok=True)
    with duckdb.connect(str(file), config={"threads": 2}) as connection:
        connection.execute(f"attach '{scratch}/home/warehouse.duckdb' as store (read_only)")
        connection.execute(f"create view labels as from read_parquet('{labels}')")
        started = time.perf_counter()
        connection.execute(f"create table joined as {SELECTED}")
        seconds = time.perf_counter() - started
        ours = f"store.feature_store.{JOIN}"
        ((differ,),) = connection.execute(
            f"select count(*) from ((from joined except all from {ours}) "
            f"union all (from {ours} except all from joined))"
        ).fetchall()
    if differ:
        sys.exit(f"{differ} rows of the bare join differ")
    return seconds


def _feast(feast: Path, scratch: Path, runs: int) -> Joined:
    """Let Feast join the same labels with the same rows."""
    days, rows = scratch / "days.parquet", scratch / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"attach '{scratch}/home/warehouse.duckdb' as store (read_only)")
        connection.execute(f"copy store.feature_store.features_daily to '{days}' (format parquet)")
    write_rows([days], rows)
    return join_by_feast(feast, scratch, rows, scratch / "labels.parquet", runs=runs)


if __name__ == "__main__":
    sys.exit(main())
