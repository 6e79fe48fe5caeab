"""
What a training set costs with Feast, and whether it has the right rows.

Feast joins labels with all rows of the users into a Parquet file, and a bare DuckDB `ASOF LEFT
JOIN` of the same files is the truth: Feast takes the newest row whose event timestamp is not after
the label, and here that timestamp is `available_at`, so both must agree. One process makes all
runs; the first, which also imports, does not count.

    python -m benchmarks.peer.join --users 200000 --days 30 --labels 1000000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from benchmarks.peer.environment import environment, inside
from benchmarks.peer.repository import (
    FEATURES,
    Choice,
    by_port,
    made,
    made_labels,
    write_repository,
    write_rows,
)
from benchmarks.report import spread
from benchmarks.training_set import bare_join, timed

DUCKDB = Choice()
LABEL = "user_id, label, as_of_ts"


@dataclass(frozen=True, slots=True)
class Joined:
    """
    What several joins of the same labels took, and how good the last one is.

    Attributes:
        offline: Type of Feast's offline store.
        form: What Feast is to return: `arrow` or `df`.
        labels: Labels requested.
        unseen: Labels of a time before their user's first row; the truth has nulls for them.
        missing: Labels that are not in the output.
        different: Labels in the output with other features than the truth, or more than once.
        seconds: From the labels' file to the output's file [s].
        join_seconds: Of that, `get_historical_features` and its result in memory [s].
        bare_seconds: The truth, from file to file, by DuckDB alone [s].
        peak_mb: Largest resident memory of Feast's process [MB].
    """

    offline: str
    form: str
    labels: int
    unseen: int
    missing: int
    different: int
    seconds: list[float]
    join_seconds: list[float]
    bare_seconds: list[float]
    peak_mb: float


def join(
    feast: Path,
    scratch: Path,
    rows: Path,
    labels: Path,
    *,
    choice: Choice = DUCKDB,
    form: str = "arrow",
    runs: int = 5,
) -> Joined:
    """
    Join several times, and compare the last output with the truth.

    Args:
        feast: Python of Feast's environment.
        scratch: A folder for its repository and the outputs.
        rows: All rows of all users, from `write_rows`.
        labels: Parquet file of `user_id`, `label` and `as_of_ts` [UTC].
        choice: The offline store.
        form: `arrow` or `df`.
        runs: How often.

    Returns:
        The figures. Lost and different labels are reported, not refused: they are a figure too.
    """
    folder = Path(tempfile.mkdtemp(prefix="join-", dir=scratch))
    # The online store is not used; Feast wants one all the same.
    repository = write_repository(folder / "repository", rows, by_port(1), choice)
    out, truth = folder / "out.parquet", folder / "truth.parquet"
    taken = inside(
        feast, "join", repository=repository, labels=labels, out=out, form=form, runs=runs
    )
    bare = [timed(lambda: bare_join(labels, [str(rows)], truth, FEATURES)) for _ in range(runs)]
    count, unseen, missing, different = compare(out, truth)
    return Joined(
        offline=choice.offline,
        form=form,
        labels=count,
        unseen=unseen,
        missing=missing,
        different=different,
        seconds=taken["seconds"],
        join_seconds=taken["join_seconds"],
        bare_seconds=bare,
        peak_mb=taken["peak_mb"],
    )


def compare(out: Path, truth: Path) -> tuple[int, int, int, int]:
    """Count labels: all, those that see no row, those that *out* lacks or has differently."""
    with duckdb.connect() as connection:
        # Feast's times carry their zone.
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            f"""
            create view found as
            select {LABEL.replace("as_of_ts", "event_timestamp::timestamp as as_of_ts")},
                {", ".join(FEATURES)}
            from '{out}'
            """
        )
        connection.execute(f"create view truth as from '{truth}'")
        row = f"{LABEL}, {', '.join(FEATURES)}"
        labels, unseen, missing, different = (
            connection.execute(f"select count(*) from ({query})").fetchall()[0][0]
            for query in (
                "from truth",
                "from truth where day is null",
                f"select {LABEL} from truth except all select {LABEL} from found",
                f"select {row} from found except all select {row} from truth",
            )
        )
    return labels, unseen, missing, different


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--offline", choices=["duckdb", "dask"], default="duckdb")
    parser.add_argument("--form", choices=["arrow", "df"], default="arrow")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    feast = environment()
    if feast is None:
        return 1
    with tempfile.TemporaryDirectory(prefix="peer-join-") as name:
        scratch = Path(name)
        rows, labels = scratch / "rows.parquet", scratch / "labels.parquet"
        write_rows(made(scratch / "days", options.users, options.days), rows)
        made_labels(labels, options.users, options.days, options.labels)
        choice = Choice(offline=options.offline)
        result = join(
            feast, scratch, rows, labels, choice=choice, form=options.form, runs=options.runs
        )
    if options.json:
        print(json.dumps(asdict(result)))
        return 0
    print(f"{result.labels:,} labels, of which {result.unseen:,} see no row")
    print(f"{result.missing:,} labels are missing, {result.different:,} different")
    for figure in ("seconds", "join_seconds", "bare_seconds"):
        print(f"{figure:<14}{spread(getattr(result, figure), 2)}")
    print(f"peak {result.peak_mb:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
