"""`materializer training-set`: what a label sees, whatever the labels are written as."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materializer.registry import FeatureGroup
from tests.support.sets import DAY, USERS, VISITS, Row, SetStore, clicks, seen, visit

FIRST = date(2024, 2, 25)
DAYS = [FIRST + n * DAY for n in range(12)]
MICRO = timedelta(microseconds=1)
CLOSING = replace(USERS, fresh_hours=24, closing_row="clicks = 0")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SetStore]:
    made = SetStore(tmp_path)
    yield made
    made.close()


def label(user: str | None, at: datetime | None, **more: Any) -> Row:
    return {"user_id": user, "as_of_ts": at, **more}


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


# What a label sees

KINDS: dict[str, FeatureGroup] = {
    "until the next": USERS,
    "fresh": replace(USERS, fresh_hours=30),
    "closing": CLOSING,
    "ttl": replace(USERS, ttl_days=2),
    "closing and ttl": replace(CLOSING, ttl_days=3),
}


@pytest.mark.parametrize("moments", ["one a day", "any"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_label_sees_what_plain_python_says(store: SetStore, kind: str, moments: str) -> None:
    group, draw = KINDS[kind], random.Random(f"{kind} {moments}")
    built = [day for day in DAYS if draw.random() < 0.85]
    history = [
        clicks(
            user,
            day,
            draw.choice([0, 0, 1, 5]),
            midnight(day) + draw.random() * DAY if moments == "any" else None,
        )
        for day in built
        for user in ("u1", "u2", "u3", "007")
        if draw.random() < 0.5
    ]
    store.publish(group, history, built)
    starts = [*map(midnight, DAYS), *(row["available_at"] for row in history)]
    times = [start + step for start in starts for step in (-MICRO, timedelta(), DAY / 3, DAY)]
    labels = [
        label(draw.choice(["u1", "u2", "u3", "007", "7", "nobody"]), draw.choice(times))
        for _ in range(300)
    ]

    rows = store.rows(store.labels(labels), "users")

    assert rows == [
        {**one, **seen(group, history, {"user_id": one["user_id"]}, one["as_of_ts"], built)}
        for one in labels
    ]
    assert ": identical, 300 rows " in store.verify().assert_code(0).out


def test_few_labels_among_many_rows_see_the_same(store: SetStore) -> None:
    history = [
        clicks(f"u{n}", day, n, midnight(day) + n * MICRO) for day in DAYS for n in range(40)
    ]
    store.publish(USERS, history)
    labels = [label(f"u{n}", midnight(DAYS[-1]) + n * MICRO) for n in (3, 17, 39, 41)]

    rows = store.rows(store.labels(labels), "users")

    assert [row["day"] for row in rows] == [DAYS[-1], DAYS[-1], DAYS[-1], None]


def test_a_leap_day_is_a_day(store: SetStore) -> None:
    leap = date(2024, 2, 29)
    store.publish(USERS, [clicks("u1", leap - DAY, 1), clicks("u1", leap, 2)])
    march = datetime(2024, 3, 1)

    rows = store.rows(store.labels([label("u1", march - MICRO), label("u1", march)]), "users")

    assert [row["day"] for row in rows] == [leap - DAY, leap]


def test_a_file_that_no_label_can_see_is_not_opened(store: SetStore) -> None:
    group = replace(USERS, ttl_days=1)
    store.publish(group, [clicks("u1", day, 1) for day in DAYS])
    for file in (store.home / "iceberg").rglob("*.parquet"):
        if f"users/data/day={DAYS[5]}" not in str(file) and "users/data/day=" in str(file):
            file.unlink()
    early = [label("u1", midnight(DAYS[6]) + DAY / 2)]

    assert [row["day"] for row in store.rows(store.labels(early), "users")] == [DAYS[5]]
    late = store.labels([label("u1", midnight(DAYS[7]) + DAY / 2)])
    done = store.make(late, "users", "--force").assert_code(4)
    assert done.err.startswith("materializer: offline store feature_store.users is unavailable: ")


# What comes out


def test_every_label_column_comes_out_as_it_was_in_its_order_and_place(store: SetStore) -> None:
    store.publish(USERS, [clicks("u1", FIRST, 1)])
    day = midnight(FIRST) + DAY
    table = pa.table(
        {
            "number": [3, 1, 1, 2],
            "user_id": ["u1", "nobody", "nobody", "u1"],
            "tags": [["a"], [], None, ["b", None]],
            "as_of_ts": pa.array([day] * 4, pa.timestamp("us")),
            "price": pa.array([Decimal("1.10"), None, None, Decimal("2.00")], pa.decimal128(9, 2)),
            "local": pa.array([day] * 4, pa.timestamp("us", "Europe/Berlin")),
            "n": [{"c0": 1}] * 4,
        }
    )

    rows = store.rows(store.labels(table), "users")

    assert list(rows[0]) == [*table.column_names, "day", "clicks", "available_at"]
    assert [{name: row[name] for name in table.column_names} for row in rows] == table.to_pylist()
    assert [row["clicks"] for row in rows] == [1, None, None, 1]


def test_two_groups_come_out_in_the_order_they_are_named(store: SetStore) -> None:
    shop = date(2020, 1, 1)
    store.publish(USERS, [clicks("u1", FIRST, 1)])
    store.publish(VISITS, [visit(7, shop, FIRST, 1.5, midnight(FIRST))])
    row = {"who": "u1", "guest": 7, "shop": shop, "at": datetime(2024, 3, 1)}
    on = ("--time", "at", "--on", "user_id=who", "--on", "visits.visitor=guest")

    labels = store.labels([row])
    [found] = store.rows(labels, "visits,users", *on, "--columns", "users.clicks,minutes")
    [named] = store.rows(labels, "visits,users", *on, "--prefix")

    assert list(found.items()) == [*row.items(), ("minutes", 1.5), ("clicks", 1)]
    assert list(named)[4:] == [
        *("visits__day", "visits__minutes", "visits__available_at"),
        *("users__day", "users__clicks", "users__available_at"),
    ]
    assert named["users__clicks"] == 1


def test_a_group_is_joined_twice_under_two_names(store: SetStore) -> None:
    store.publish(USERS, [clicks("u1", FIRST, 1), clicks("u2", FIRST, 2)])
    row = {"from": "u1", "to": "u2", "clicks": 9, "as_of_ts": datetime(2024, 3, 1)}
    on = ("--on", "sender.user_id=from", "--on", "receiver.user_id=to")

    [found] = store.rows(store.labels([row]), "sender=users,receiver=users", *on)

    names = [
        f"{join}__{name}"
        for join in ("sender", "receiver")
        for name in ("day", "clicks", "available_at")
    ]
    assert list(found) == [*row, *names]
    assert (found["clicks"], found["sender__clicks"], found["receiver__clicks"]) == (9, 1, 2)
    assert ": identical, 1 rows " in store.verify().assert_code(0).out


def test_a_group_may_be_called_as_the_labels_are(store: SetStore) -> None:
    store.publish(replace(USERS, name="labels"), [clicks("u1", FIRST, 1)])

    [row] = store.rows(store.labels([label("u1", datetime(2024, 3, 1))]), "labels")

    assert row["clicks"] == 1
    assert ": identical, 1 rows " in store.verify().assert_code(0).out


def test_no_labels_make_a_set_without_rows(store: SetStore) -> None:
    store.publish(CLOSING, [clicks("u1", FIRST, 1)], [FIRST])

    assert store.rows(store.csv("user_id,as_of_ts\n"), "users") == []
    assert pq.read_schema(store.out).names == [
        *("user_id", "as_of_ts", "day", "clicks", "available_at")
    ]
    assert ": identical, 0 rows " in store.verify().assert_code(0).out


# How times and keys are read


def test_a_time_is_utc_and_cut_to_microseconds_however_it_is_written(store: SetStore) -> None:
    store.publish(USERS, [clicks("u1", FIRST, 1), clicks("u1", FIRST + DAY, 2)])
    second = datetime(2024, 2, 27)
    texts = {
        "2024-02-27 00:00:00": second,
        "2024-02-27T01:00:00+01:00": second,
        "2024-02-26T23:59:59.9999999Z": second - MICRO,
        "2024-02-27": second,
    }
    nanos = int(second.replace(tzinfo=UTC).timestamp()) * 10**9
    before = pa.array([nanos - 1], pa.timestamp("ns"))
    columns = [
        (before, second - MICRO),
        (before.cast(pa.timestamp("ns", "America/New_York")), second - MICRO),
        (pa.array([nanos // 1000], pa.timestamp("us", "Asia/Tokyo")), second),
        (pa.array([nanos // 10**6], pa.timestamp("ms")), second),
        (pa.array([second.date()]), second),
    ]

    lines = "".join(f"u1,{text}\n" for text in texts)
    rows = store.rows(store.csv(f"user_id,as_of_ts\n{lines}"), "users")
    found = [(row["as_of_ts"], row["clicks"]) for row in rows]
    for times, _ in columns:
        table = pa.table({"user_id": ["u1"], "as_of_ts": times})
        found += [
            (row["as_of_ts"], row["clicks"]) for row in store.rows(store.labels(table), "users")
        ]

    expected = [*texts.values(), *(moment for _, moment in columns)]
    assert found == [(moment, 2 if moment == second else 1) for moment in expected]


def test_an_id_is_the_text_that_is_written(store: SetStore) -> None:
    ids = ["007", "7", "null", "NaN", "a,b", 'a"b', " x ", "ü\u0308😀", "x" * 5000, "true"]
    store.publish(USERS, [clicks(user, FIRST, n) for n, user in enumerate(ids)])
    at = datetime(2024, 3, 1)
    quoted = [user.replace('"', '""') for user in ids]
    text = "user_id,as_of_ts\n" + "".join(f'"{user}",{at}\n' for user in quoted)

    from_csv = store.rows(store.csv(text), "users")
    from_parquet = store.rows(store.labels([label(user, at) for user in ids]), "users")

    assert [(row["user_id"], row["clicks"]) for row in from_csv] == [
        (user, n) for n, user in enumerate(ids)
    ]
    assert from_parquet == from_csv


@pytest.mark.parametrize("whole", [pa.int8(), pa.uint64()])
def test_a_whole_number_is_its_text_for_a_group_of_texts(
    store: SetStore, whole: pa.DataType
) -> None:
    store.publish(USERS, [clicks("7", FIRST, 1), clicks("007", FIRST, 2)])
    at = pa.array([datetime(2024, 3, 1)], pa.timestamp("us"))
    table = pa.table({"user_id": pa.array([7], whole), "as_of_ts": at})

    assert [row["clicks"] for row in store.rows(store.labels(table), "users")] == [1]


def test_a_text_is_a_number_or_a_day_where_it_is_written_as_one(store: SetStore) -> None:
    store.publish(VISITS, [visit(-7, FIRST, FIRST, 2.5, midnight(FIRST))])

    [row] = store.rows(
        store.csv(f"visitor,shop,as_of_ts,label\n-7,{FIRST},2024-03-01,1.0\n"), "visits"
    )

    assert (row["visitor"], row["shop"], row["label"]) == ("-7", str(FIRST), "1.0")
    assert row["minutes"] == 2.5


@pytest.mark.parametrize("visitor", ["07", "7.0", " 7", "", "9223372036854775808", "seven"])
def test_rows_whose_key_cannot_be_read_are_named(store: SetStore, visitor: str) -> None:
    store.publish(VISITS, [visit(7, FIRST, FIRST, 2.5, midnight(FIRST))])
    good = f"7,{FIRST},2024-03-01\n"

    done = store.make(
        store.csv(f"visitor,shop,as_of_ts\n{good}{visitor},{FIRST},2024-03-01\n"), "visits"
    )

    shown = f"'{visitor}'" if visitor else "missing"
    assert done.assert_code(2).err == (
        "materializer: labels.csv: 1 rows have a key or a time that is missing or cannot be read, "
        f"such as row 2 (visitor {shown}, shop '{FIRST}', as_of_ts '2024-03-01'); "
        "correct or drop them\n"
    )
    assert not store.out.exists()


@pytest.mark.parametrize("at", ["", "yesterday", "infinity", "2024-02-30"])
def test_rows_whose_time_cannot_be_read_are_named(store: SetStore, at: str) -> None:
    store.publish(USERS, [clicks("u1", FIRST, 1)])

    done = store.make(store.csv(f"user_id,as_of_ts\nu1,{at}\n"), "users").assert_code(2)

    shown = f"'{at}'" if at else "missing"
    assert f"such as row 1 (user_id 'u1', as_of_ts {shown}); correct or drop them\n" in done.err
    assert not store.out.exists()


def test_null_keys_and_times_of_a_parquet_file_are_named(store: SetStore) -> None:
    store.publish(USERS, [clicks("u1", FIRST, 1)])
    at = datetime(2024, 3, 1)
    rows = [label("u1", at), label(None, at), label("u1", None)]

    done = store.make(store.labels(rows), "users").assert_code(2)

    assert (
        "2 rows have a key or a time that is missing or cannot be read, such as row 2" in done.err
    )


def test_labels_later_than_what_is_published_are_told(store: SetStore) -> None:
    store.publish(CLOSING, [clicks("u1", FIRST, 1)], [FIRST])
    late = midnight(FIRST) + DAY

    on_time = store.make(store.labels([label("u1", late)]), "users").assert_code(0)
    later = store.make(store.labels([label("u1", late + MICRO)]), "users", "--force")

    assert on_time.err == ""
    assert later.assert_code(0).err == (
        "users: 1 labels are later than its newest published row, which is available since "
        "2024-02-26T00:00:00Z; they see what was known then, where it is still true\n"
    )
