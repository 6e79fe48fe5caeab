"""What the sample in seeds/ holds, read with nothing but Python; and its generator."""

import csv
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seeds.generate import Plan, main

SEEDS = Path(__file__).resolve().parents[1] / "seeds"
DAY = timedelta(days=1)
FIRST, LAST = date(2024, 1, 1), date(2024, 3, 30)
LAST_MICROSECOND = datetime.max.time()
ODD_IDS = {
    "007", "1e5", "null", "NaN", "true", "ann lee", "shop:42", "50%25", "eu/west", "a,b",
    'o\'neil "bob"', "back\\slash", "zoë", "🦊",
}  # fmt: skip

Event = tuple[str, str, datetime]
Label = tuple[str, float, datetime]


def _read(name: str) -> tuple[list[str], list[list[str]]]:
    with (SEEDS / name).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


class Sample(NamedTuple):
    """The rows of both files, and each user's event times in order."""

    events: list[Event]
    labels: list[Label]
    times: dict[str, list[datetime]]


@pytest.fixture(scope="module")
def sample() -> Sample:
    header, rows = _read("events_raw.csv")
    assert header == ["user_id", "event_type", "ts"]
    events = [(user, kind, datetime.fromisoformat(ts)) for user, kind, ts in rows]
    header, rows = _read("labels.csv")
    assert header == ["user_id", "label", "as_of_ts"]
    labels = [(user, float(label), datetime.fromisoformat(ts)) for user, label, ts in rows]
    times: dict[str, list[datetime]] = defaultdict(list)
    for user, _, ts in sorted(events, key=lambda event: event[2]):
        times[user].append(ts)
    return Sample(events, labels, times)


def _gap_around(times: list[datetime], moment: datetime) -> timedelta | None:
    """The time between the events before and after a moment; None outside a user's events."""
    after = bisect_left(times, moment)
    return times[after] - times[after - 1] if 0 < after < len(times) else None


# The files


def test_files_are_small_and_no_field_is_empty() -> None:
    assert sum((SEEDS / name).stat().st_size for name in ("events_raw.csv", "labels.csv")) < 2.5e6
    for name in ("events_raw.csv", "labels.csv"):
        assert all(all(row) for row in _read(name)[1])


def test_times_have_microseconds_and_no_offset() -> None:
    form = re.compile(r"2024-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
    assert all(form.fullmatch(row[2]) for row in _read("events_raw.csv")[1])
    assert all(form.fullmatch(row[2]) for row in _read("labels.csv")[1])


def test_duckdb_loads_the_same_rows_the_way_a_dbt_seed_does(sample: Sample) -> None:
    with duckdb.connect() as con:
        con.execute("create table events (user_id varchar, event_type varchar, ts timestamp)")
        con.execute("create table labels (user_id varchar, label double, as_of_ts timestamp)")
        for table, name in (("events", "events_raw.csv"), ("labels", "labels.csv")):
            con.execute(
                f"copy {table} from '{SEEDS / name}' (format csv, header true, delimiter ',')"
            )
        assert con.execute("from events").fetchall() == sample.events
        assert con.execute("from labels").fetchall() == sample.labels


# Events


def test_thirty_thousand_events_of_about_five_hundred_users(sample: Sample) -> None:
    assert len(sample.events) == 30_000
    assert 450 <= len(sample.times) <= 500


def test_every_day_has_events_the_leap_day_and_the_last_too(sample: Sample) -> None:
    days = {ts.date() for _, _, ts in sample.events}
    assert days == {FIRST + timedelta(n) for n in range(90)}
    assert max(days) == LAST
    assert date(2024, 2, 29) in days


def test_twelve_types_some_common_some_rare(sample: Sample) -> None:
    counts = Counter(kind for _, kind, _ in sample.events).most_common()
    assert len(counts) == 12
    assert {"click", "view", "purchase"} <= {kind for kind, _ in counts}
    assert counts[0][1] > 20 * counts[-1][1] > 0


def test_activity_has_a_heavy_tail(sample: Sample) -> None:
    counts = sorted((len(ts) for ts in sample.times.values()), reverse=True)
    assert sum(counts[: len(counts) // 10]) > 15_000
    assert counts[len(counts) // 2] < 20


def test_weekends_and_evenings_are_busier(sample: Sample) -> None:
    week = Counter(ts.weekday() for _, _, ts in sample.events)
    hours = Counter(ts.hour for _, _, ts in sample.events)
    assert min(week[5], week[6]) > 1.15 * max(week[0], week[1], week[2])
    assert hours[20] > 10 * hours[3] > 0


def test_users_start_late_stop_and_pause_for_more_than_a_month(sample: Sample) -> None:
    longest = [max((b - a for a, b in pairwise(ts)), default=DAY) for ts in sample.times.values()]
    assert sum(ts[0].date() >= date(2024, 2, 1) for ts in sample.times.values()) >= 50
    assert sum(ts[-1].date() < date(2024, 2, 20) for ts in sample.times.values()) >= 20
    assert sum(gap > 32 * DAY for gap in longest) >= 20


def test_user1_is_active_on_each_of_the_last_days(sample: Sample) -> None:
    days = {ts.date() for ts in sample.times["user1"]}
    assert {LAST - timedelta(n) for n in range(7)} <= days


def test_some_events_touch_the_edges_of_a_day(sample: Sample) -> None:
    moments = Counter(ts.time() for _, _, ts in sample.events)
    assert moments[datetime.min.time()] >= 5
    assert moments[LAST_MICROSECOND] >= 5


def test_some_events_are_given_twice(sample: Sample) -> None:
    assert 5 <= sum(n > 1 for n in Counter(sample.events).values()) <= 100


def test_ids_are_plain_but_for_the_odd_ones(sample: Sample) -> None:
    def odd(ids: set[str]) -> set[str]:
        return {user for user in ids if not re.fullmatch(r"user[1-9]\d*", user)}

    assert odd(set(sample.times)) == ODD_IDS
    assert odd({user for user, _, _ in sample.labels}) == ODD_IDS


# Labels


def test_two_thousand_labels_from_day_8_to_day_83_at_all_hours(sample: Sample) -> None:
    assert len(sample.labels) == 2_000
    assert {ts.date() for _, _, ts in sample.labels} == {FIRST + timedelta(n) for n in range(7, 83)}
    assert {ts.hour for _, _, ts in sample.labels} == set(range(24))


def test_a_label_is_1_when_the_user_comes_within_seven_days(sample: Sample) -> None:
    for user, label, as_of in sample.labels:
        comes = any(as_of <= ts < as_of + 7 * DAY for ts in sample.times.get(user, []))
        assert label == float(comes), (user, as_of)


def test_both_values_of_the_label_are_common(sample: Sample) -> None:
    counts = Counter(label for _, label, _ in sample.labels)
    assert set(counts) == {0.0, 1.0}
    assert min(counts.values()) > 400


def test_a_good_share_of_labels_has_a_later_event_on_its_own_day(sample: Sample) -> None:
    later = sum(
        any(ts >= as_of and ts.date() == as_of.date() for ts in sample.times.get(user, []))
        for user, _, as_of in sample.labels
    )
    assert later > 500


def test_some_labels_stand_at_midnight_and_some_at_an_event(sample: Sample) -> None:
    assert sum(as_of.time() == datetime.min.time() for _, _, as_of in sample.labels) >= 20
    assert sum(as_of in sample.times.get(user, []) for user, _, as_of in sample.labels) >= 20


def test_some_labels_stand_before_the_first_event_in_a_long_gap_or_for_nobody(
    sample: Sample,
) -> None:
    known = [
        (sample.times[user], as_of) for user, _, as_of in sample.labels if user in sample.times
    ]
    gaps = [gap for ts, as_of in known if (gap := _gap_around(ts, as_of)) is not None]
    assert sum(as_of <= ts[0] for ts, as_of in known) >= 20
    assert sum(gap > 32 * DAY for gap in gaps) >= 10
    assert len(sample.labels) - len(known) >= 10


def test_some_labels_are_given_twice(sample: Sample) -> None:
    assert 5 <= sum(n > 1 for n in Counter(sample.labels).values()) <= 100


# The generator


def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events_raw.csv", "labels.csv"]
    for name in ("events_raw.csv", "labels.csv"):
        assert (tmp_path / name).read_bytes() == (SEEDS / name).read_bytes(), name


def _parquet(out: Path, *more: str) -> int:
    sizes = "--users 300 --days 20 --events 5003 --labels 401 --start 2023-12-20 --format parquet"
    return main([*sizes.split(), "--out", str(out), *more])


def test_parquet_has_the_asked_counts_in_one_file_a_day(tmp_path: Path) -> None:
    assert _parquet(tmp_path) == 0
    files = sorted(tmp_path.glob("events/*"))
    days = [date(2023, 12, 20) + timedelta(n) for n in range(20)]
    assert [file.name for file in files] == [f"{day}.parquet" for day in days]
    rows = 0
    for day, file in zip(days, files, strict=True):
        events = pq.read_table(file)
        ts = events["ts"].to_pylist()
        assert ts == sorted(ts)
        assert {moment.date() for moment in ts} == {day}
        rows += events.num_rows
    labels = pq.read_table(tmp_path / "labels.parquet")
    assert (rows, labels.num_rows) == (5003, 401)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "labels.parquet"]


def test_parquet_has_the_columns_of_the_contract_and_plain_ids(tmp_path: Path) -> None:
    _parquet(tmp_path)
    events = pq.read_table(tmp_path / "events")
    labels = pq.read_table(tmp_path / "labels.parquet")
    text, time = pa.string(), pa.timestamp("us")
    assert (events.column_names, events.schema.types) == (
        ["user_id", "event_type", "ts"],
        [text, text, time],
    )
    assert (labels.column_names, labels.schema.types) == (
        ["user_id", "label", "as_of_ts"],
        [text, pa.float64(), time],
    )
    users = set(events["user_id"].to_pylist())
    assert users <= {f"user{n}" for n in range(1, 301)}


def test_another_seed_makes_another_set(tmp_path: Path) -> None:
    _parquet(tmp_path / "one")
    _parquet(tmp_path / "two", "--seed", "2")
    one, two = (pq.read_table(tmp_path / name / "events") for name in ("one", "two"))
    assert one.num_rows == two.num_rows
    assert one != two


def test_files_that_are_there_are_replaced_only_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _parquet(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        _parquet(tmp_path)
    assert "holds Parquet files already: another --out, or --force" in capsys.readouterr().err
    assert _parquet(tmp_path, "--days", "16", "--force") == 0
    assert len(list(tmp_path.glob("events/*"))) == 16


def test_a_log_gets_plain_lines_and_the_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _parquet(tmp_path)
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == "20 of 20 days"
    assert said.out == (
        "wrote 5,003 events of up to 300 users, 2023-12-20 to 2024-01-08, and 401 labels, "
        f"to {tmp_path}\n"
    )


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("--events 89", "--events 89: give at least one event a day, 90 here"),
        ("--days 14", "--days 14: labels need a week before and a week after them"),
        ("--start 2024-02-30", "'2024-02-30' is not a date; write 2024-01-01"),
        ("--start 9999-12-01", "--start 9999-12-01 and --days 90 end after 9999-12-31"),
        ("--users none", "'none' is not a whole number from 1"),
    ],
)
def test_a_wrong_call_is_told_what_to_write(
    call: str, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*call.split(), "--out", str(tmp_path)])
    assert answer in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("events", [90, 1_000, 10**9 + 7])
def test_daily_amounts_add_up_and_no_day_is_empty(events: int) -> None:
    amounts = Plan(events=events).events_by_day()
    assert (len(amounts), sum(amounts)) == (90, events)
    assert min(amounts) >= 1
