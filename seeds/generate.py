"""
Make sample data: the two CSV files of this folder, and Parquet sets of any size for benchmarks.

Owns the command line, the sizes, the daily amounts and the files; what users do is in sample.sql.
Refuses real randomness: every draw is an integer scrambled from (seed, user, day, event), so the
same arguments make the same rows everywhere. One day is made at a time, so memory grows with users
and labels, not with events.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import duckdb
from tqdm import tqdm

HERE = Path(__file__).resolve().parent

# Ids that break naive keys, paths, CSV readers and type guessing. The CSV set gives them to its
# last users; Parquet sets keep plain names.
ODD_IDS = (
    *("007", "1e5", "null", "NaN", "true", "ann lee", "shop:42", "50%25", "eu/west", "a,b"),
    *('o\'neil "bob"', "back\\slash", "zoë", "🦊"),
)

# How busy the days are, Monday to Sunday.
WEEK = (100, 97, 99, 104, 118, 136, 128)

# A label looks this far ahead; the first labels come after as many days of history.
LABEL_DAYS = 7
# A row group spans a narrow range of times, so a reader of some hours skips the others.
ROW_GROUP = 122_880


def _statements(text: str) -> dict[str, str]:
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {
        name: body.rstrip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


SQL = _statements((HERE / "sample.sql").read_text(encoding="utf-8"))


class Sink(Protocol):
    """Where one format's rows go."""

    def write_day(self, con: duckdb.DuckDBPyConnection, day: date) -> None:
        """Write the table `day_events`, sorted by time."""

    def finish(self, con: duckdb.DuckDBPyConnection) -> None:
        """Write the table `labels`, and give the files their final names."""


class CsvSink:
    """`events_raw.csv` and `labels.csv`; Python writes them, so the bytes do not hang on DuckDB."""

    def __init__(self, out: Path, scratch: Path) -> None:
        self._out = out
        self._scratch = scratch

    def write_day(self, con: duckdb.DuckDBPyConnection, day: date) -> None:
        """Append one day."""
        _append(self._scratch / "events_raw.csv", con, "event_rows")

    def finish(self, con: duckdb.DuckDBPyConnection) -> None:
        """Write the labels, and replace the old files."""
        _append(self._scratch / "labels.csv", con, "label_rows")
        for name in ("events_raw.csv", "labels.csv"):
            (self._scratch / name).replace(self._out / name)


def _append(path: Path, con: duckdb.DuckDBPyConnection, statement: str) -> None:
    cursor = con.execute(SQL[statement])
    columns = [column[0] for column in cursor.description]
    head = [] if path.exists() else [columns]
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(head)
        while rows := cursor.fetchmany(10_000):
            writer.writerows([_text(value) for value in row] for row in rows)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    return str(value)


class ParquetSink:
    """`events/<day>.parquet`, one file a day, and `labels.parquet`."""

    def __init__(self, out: Path, scratch: Path) -> None:
        self._out = out
        self._part = scratch / "part"
        (out / "events").mkdir(exist_ok=True)

    def write_day(self, con: duckdb.DuckDBPyConnection, day: date) -> None:
        """Write one day's file."""
        self._copy(con, "event_rows", self._out / "events" / f"{day}.parquet")

    def finish(self, con: duckdb.DuckDBPyConnection) -> None:
        """Write the labels."""
        self._copy(con, "label_rows", self._out / "labels.parquet")

    def _copy(self, con: duckdb.DuckDBPyConnection, statement: str, path: Path) -> None:
        # A file gets its name when it is whole, so no reader takes a killed run's rest for data.
        quoted = str(self._part).replace("'", "''")
        con.execute(
            f"copy ({SQL[statement]}) to '{quoted}' (format parquet, compression zstd,"
            f" row_group_size {ROW_GROUP}, use_tmp_file false)"
        )
        self._part.replace(path)


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What to make.

    Attributes:
        users: Number of users; some of them may turn out to have no event.
        days: Number of days.
        events: Number of events in all, at least one a day.
        labels: Number of labels in all.
        start: First day [UTC].
        seed: Another seed makes another set, 0 to 2^32 - 1.
        odd: How many of the last users carry an odd id.
    """

    users: int = 500
    days: int = 90
    events: int = 30_000
    labels: int = 2_000
    start: date = date(2024, 1, 1)
    seed: int = 1
    odd: int = 0

    @property
    def last(self) -> date:
        """The last day."""
        return self.start + timedelta(self.days - 1)

    def events_by_day(self) -> list[int]:
        """Spread the events over the days: a weekly rhythm, and growth by a third."""
        weights = [
            WEEK[(self.start + timedelta(day)).weekday()] * (300 + 100 * day // self.days)
            for day in range(self.days)
        ]
        return [1 + share for share in _spread(self.events - self.days, weights)]

    def labels_by_day(self) -> list[int]:
        """Spread the labels evenly over the days that have a week before and a week after them."""
        inside = range(LABEL_DAYS, self.days - LABEL_DAYS)
        return _spread(self.labels, [int(day in inside) for day in range(self.days)])


def _spread(total: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    ends = [total * upto // whole if whole else 0 for upto in accumulate(weights)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def generate(plan: Plan, sink: Sink, days: Iterable[int], scratch: Path) -> None:
    """
    Make the rows and write them.

    Args:
        plan: What to make.
        sink: Where the rows go.
        days: `range(plan.days)`, perhaps wrapped to show progress.
        scratch: Folder for what does not fit in memory [1 GB].
    """
    events, labels = plan.events_by_day(), plan.labels_by_day()
    with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(scratch)}) as con:
        con.execute("set enable_progress_bar = false")
        _set(
            con,
            users=plan.users,
            days=plan.days,
            seed=plan.seed,
            odd_ids=list(ODD_IDS[: plan.odd]),
        )
        for name in ("macros", "choices", "tables", "users"):
            con.execute(SQL[name])
        for day in days:
            at_events = min(labels[day] // 3, events[day])
            this = plan.start + timedelta(day)
            _set(
                con,
                day=day,
                midnight=(this - date(1970, 1, 1)).days * 86_400_000_000,
                events=events[day],
                shift=(617 * day + plan.seed) % 1000 / 1000,
                at_events=at_events,
                anywhere=labels[day] - at_events,
            )
            for name in ("day_events", "labels", "hits"):
                con.execute(SQL[name])
            sink.write_day(con, this)
        sink.finish(con)


def _set(con: duckdb.DuckDBPyConnection, **values: int | float | list[str]) -> None:
    for name, value in values.items():
        con.execute(f"set variable {name} = $value", {"value": value})


def show_progress(days: int) -> Iterator[int]:
    """Count days 0 to *days* - 1 on stderr: a bar for a person, some ten plain lines for a log."""
    if sys.stderr.isatty():
        yield from tqdm(range(days), desc="days", unit="day")
        return
    for day in range(days):
        yield day
        if (day + 1) * 10 // days > day * 10 // days:
            print(f"{day + 1} of {days} days", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; exit code 0 done, 2 the call is wrong."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.events < args.days:
        parser.error(f"--events {args.events}: give at least one event a day, {args.days} here")
    if args.labels and args.days <= 2 * LABEL_DAYS:
        parser.error(
            f"--days {args.days}: labels need a week before and a week after them; "
            "write --days 15 or more, or --labels 0"
        )
    if args.days > (date.max - args.start).days:
        parser.error(f"--start {args.start} and --days {args.days} end after {date.max}")
    is_csv = args.format == "csv"
    if not is_csv and not args.force and any(args.out.glob("events/*.parquet")):
        parser.error(f"{args.out}/events holds Parquet files already: another --out, or --force")
    plan = Plan(
        users=args.users,
        days=args.days,
        events=args.events,
        labels=args.labels,
        start=args.start,
        seed=args.seed,
        odd=min(len(ODD_IDS), args.users - 1) if is_csv else 0,
    )
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for old in [] if is_csv else args.out.glob("events/*.parquet"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=args.out, prefix=".tmp-") as folder:
            scratch = Path(folder)
            sink = CsvSink(args.out, scratch) if is_csv else ParquetSink(args.out, scratch)
            generate(plan, sink, show_progress(plan.days), scratch)
    except (OSError, duckdb.IOException) as error:
        parser.error(f"--out {args.out}: {error}")
    print(
        f"wrote {plan.events:,} events of up to {plan.users:,} users, {plan.start} to {plan.last}, "
        f"and {plan.labels:,} labels, to {args.out}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Make sample events and labels. Without options: the two CSV files in seeds/, "
        "byte for byte as they are in the repository.",
        epilog="A set for benchmarks, which dbt then reads in place of the sample:\n"
        "  python seeds/generate.py --format parquet --out /tmp/big \\\n"
        "      --users 200000 --events 20000000 --labels 1000000\n"
        "  dbt build --vars '{events_path: /tmp/big/events/*.parquet, "
        "labels_path: /tmp/big/labels.parquet}'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plan = Plan()
    for name, low, what in (
        ("users", 1, "number of users, named user1, user2, ..."),
        ("days", 1, "number of days"),
        ("events", 1, "number of events in all"),
        ("labels", 0, "number of labels in all; 0 for none"),
        ("seed", 0, "another seed makes another set"),
    ):
        parser.add_argument(
            f"--{name}",
            type=partial(_whole, low=low),
            default=getattr(plan, name),
            metavar="N",
            help=f"{what} (default: %(default)s)",
        )
    parser.add_argument(
        "--start",
        type=_day,
        default=plan.start,
        metavar="DATE",
        help="first day, UTC (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=("csv", "parquet"),
        default="csv",
        help="csv: events_raw.csv and labels.csv, where the last users carry ids that are hard to "
        "handle; parquet: events/<day>.parquet, sorted by time, and labels.parquet "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=HERE, metavar="DIR", help="folder to write (default: seeds/)"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the Parquet files that are in DIR/events"
    )
    return parser


def _whole(text: str, *, low: int) -> int:
    if not re.fullmatch(r"[0-9][0-9_]*", text) or not low <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low}")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date; write 2024-01-01") from None


if __name__ == "__main__":
    sys.exit(main())
