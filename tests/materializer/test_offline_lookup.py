"""Lookups: the newest row that was available, never another, whatever else is going on."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.catalog import Catalog

from materializer.errors import (
    Expired,
    LookupMiss,
    NotPublished,
    NotYetAvailable,
    OfflineStoreUnavailable,
    UnknownEntity,
    UnknownGroup,
)
from materializer.offline import write
from materializer.offline.catalog import spans_name, table_name
from materializer.offline.lookup import OfflineReader
from materializer.offline.publish import publish_table
from materializer.registry import Column, FeatureGroup
from tests.materializer.offline_fixtures import (
    EPOCH_DAY,
    GROUP,
    History,
    day_of,
    midnight_after,
    publish,
    publish_rows,
    row_of,
    store,
    table_of,
    update,
)
from tests.support.group import make_group
from tests.support.profile import examples

MICROSECOND = timedelta(microseconds=1)
LATE = midnight_after(day_of(400))

# Prefixes longer than what other writers keep of statistics (16 in Iceberg, 64 in Parquet's index),
# and than what Arrow writes any for (4096).
ODD_IDS = (
    "plain",
    "Plain",
    " plain",
    "it's",
    '"quoted"',
    "back\\slash",
    "a/b",
    "a%2Fb",
    "a:b",
    "\x00\x01\n\t",
    "😀",
    "😀😀",
    "\uffff",
    "é",
    "e\u0301",
    "null",
    "007",
    "7",
    "p" * 70 + "1",
    "p" * 70 + "2",
    "x" * 5000 + "1",
    "x" * 5000 + "2",
    "y" * 10_000,
)


@contextmanager
def small_files() -> Iterator[None]:
    """Write row groups of three rows, so that a few entities fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "ROW_GROUP", 3)
        patch.setattr(write, "_PIECE", 6)
        yield


def expected(
    history: History, entity: str, as_of: datetime, group: FeatureGroup
) -> dict[str, object] | type[LookupMiss]:
    """Find the row the plain way, or the error."""
    lag = group.availability_lag_hours
    days = [day for day, entities in history.items() if entity in entities]
    if not days:
        return UnknownEntity
    usable = [day for day in days if midnight_after(day, lag) <= as_of]
    if not usable:
        return NotYetAvailable
    day = max(usable)
    ttl = group.ttl_days
    if ttl is not None and as_of >= midnight_after(day, lag) + timedelta(days=ttl):
        return Expired
    return row_of(entity, day, history[day][entity], lag_hours=lag)


def reader_of(home: Path, history: History, **options: Any) -> OfflineReader:
    """Publish a history, and read it."""
    publish(store(home), history)
    return OfflineReader(store(home), **options)


def found(
    reader: OfflineReader, entity: str, as_of: datetime, name: str = GROUP.name
) -> dict[str, object] | type[LookupMiss]:
    try:
        return reader.lookup(name, (entity,), as_of)
    except LookupMiss as miss:
        return type(miss)


def found_many(
    reader: OfflineReader, requests: Sequence[tuple[str, datetime]], name: str = GROUP.name
) -> list[dict[str, object] | type[LookupMiss]]:
    answers = reader.lookup_many(name, [((entity,), moment) for entity, moment in requests])
    return [type(one) if isinstance(one, LookupMiss) else one for one in answers]


_histories = st.dictionaries(
    st.integers(0, 40).map(day_of),
    st.dictionaries(st.sampled_from(ODD_IDS), st.integers(-(2**63), 2**63 - 1), max_size=12),
    min_size=1,
    max_size=7,
)


@settings(max_examples=examples(25), deadline=None)
@given(
    history=_histories,
    lag=st.sampled_from([0, 6, -24, 49]),
    ttl=st.sampled_from([None, None, 1, 3]),
    others=st.lists(st.datetimes(datetime(2023, 12, 1), datetime(2024, 4, 1)), max_size=3),
)
def test_lookups_equal_a_plain_search(
    history: History, lag: int, ttl: int | None, others: list[datetime]
) -> None:
    group = replace(GROUP, availability_lag_hours=lag, ttl_days=ttl)
    edges = [midnight_after(day, lag) for day in history]
    edges += [edge + timedelta(days=ttl) for edge in edges if ttl]
    moments = [
        edge + shift for edge in edges for shift in (-MICROSECOND, MICROSECOND * 0, MICROSECOND)
    ]
    moments += [other.replace(tzinfo=UTC) for other in others]
    entities = [*ODD_IDS[::3], *{e for there in history.values() for e in there}, "nobody"]
    requests = [(entity, moment) for entity in entities for moment in moments]
    answers = [expected(history, entity, moment, group) for entity, moment in requests]
    with tempfile.TemporaryDirectory() as folder, small_files():
        catalog = store(Path(folder))
        publish(catalog, history, group=group)
        reader = OfflineReader(catalog)
        assert [found(reader, entity, moment) for entity, moment in requests] == answers
        assert found_many(reader, requests) == answers


def test_every_odd_id_is_found_among_all_the_others(tmp_path: Path) -> None:
    history = {day_of(n): {e: 100 * n + i for i, e in enumerate(ODD_IDS)} for n in range(2)}
    with small_files():
        reader = reader_of(tmp_path, history)

    answers = [found(reader, entity, LATE) for entity in ODD_IDS]

    assert answers == [row_of(e, day_of(1), 100 + i) for i, e in enumerate(ODD_IDS)]


@pytest.mark.parametrize(
    "stranger",
    [
        "",
        "plai",
        "plain ",
        "p" * 70,
        "p" * 70 + "3",
        "x" * 5000,
        "y" * 9999,
        "y" * 10_001,
        "\ud800",
    ],
    ids=lambda text: f"{text[:5]!a}-{len(text)}",
)
def test_a_near_miss_is_unknown(tmp_path: Path, stranger: str) -> None:
    with small_files():
        reader = reader_of(tmp_path, {day_of(0): dict.fromkeys(ODD_IDS, 1)})

    with pytest.raises(UnknownEntity) as miss:
        reader.lookup(GROUP.name, (stranger,), LATE)

    assert len(str(miss.value)) < 200


def test_a_home_with_an_odd_name_works(tmp_path: Path) -> None:
    home = tmp_path / "a b" / "100%41 ü 😀 'q'"
    assert found(reader_of(home, {day_of(0): {"a": 1}}), "a", LATE) == row_of("a", day_of(0), 1)


def test_the_time_may_have_any_offset(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, {day_of(0): {"a": 1}})
    edge = midnight_after(day_of(0)).astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert found(reader, "a", edge) == row_of("a", day_of(0), 1)
    assert found(reader, "a", edge - MICROSECOND) is NotYetAvailable


# Rows whose own time is not that of their day


def publish_times(catalog: Catalog, times: Mapping[tuple[str, date], datetime]) -> None:
    rows = [
        row_of(entity, day, number) | {"available_at": at}
        for number, ((entity, day), at) in enumerate(times.items())
    ]
    publish_rows(catalog, table_of(rows))


def test_the_rows_own_time_decides_within_a_day(tmp_path: Path) -> None:
    base = midnight_after(day_of(0))
    times = {
        ("early", day_of(0)): base,
        ("late", day_of(0)): base,
        ("early", day_of(1)): base + timedelta(hours=20),
        ("late", day_of(1)): base + timedelta(hours=30),
    }
    publish_times(store(tmp_path), times)
    reader = OfflineReader(store(tmp_path))

    def day(entity: str, hours: int) -> object:
        try:
            return reader.lookup(GROUP.name, (entity,), base + timedelta(hours=hours))["day"]
        except LookupMiss as miss:
            return type(miss)

    assert (day("early", 25), day("late", 25)) == (day_of(1), day_of(0))
    assert (day("early", 35), day("late", 35)) == (day_of(1), day_of(1))
    requests = [((e,), base + timedelta(hours=h)) for h in (25, 35) for e in ("early", "late")]
    days = [row["day"] for row in reader.lookup_many(GROUP.name, requests) if isinstance(row, dict)]
    assert days == [day_of(1), day_of(0), day_of(1), day_of(1)]


def test_the_newest_of_two_rows_of_one_day_is_given(tmp_path: Path) -> None:
    noon, night = midnight_after(day_of(0), 12), midnight_after(day_of(0), 20)
    rows = [
        row_of("a", day_of(0), 1) | {"available_at": night},
        row_of("a", day_of(0), 2) | {"available_at": noon},
    ]
    publish_rows(store(tmp_path), table_of(rows))
    reader = OfflineReader(store(tmp_path))

    assert found(reader, "a", night) == rows[0]
    assert found(reader, "a", night - MICROSECOND) == rows[1]
    assert found(reader, "a", noon - MICROSECOND) is NotYetAvailable


# Other keys and types


def test_a_key_may_have_several_columns_of_several_types(tmp_path: Path) -> None:
    columns = {
        **{"shop": "string", "item": "int64", "since": "date", "day": "date"},
        **{"price": "decimal(10,2)", "ratio": "double", "flag": "boolean"},
        "available_at": "timestamp",
    }
    group = make_group("prices", columns, entity=("shop", "item", "since"))
    keys = [(s, i, d) for s in ("a", "b") for i in (-1, 1, 2**62) for d in (day_of(0), day_of(1))]
    rows = pa.table(
        {
            "shop": [s for s, _, _ in keys],
            "item": [i for _, i, _ in keys],
            "since": [d for _, _, d in keys],
            "day": [day_of(0)] * 12,
            "price": pa.array([f"{n}.50" for n in range(12)]).cast(pa.decimal128(10, 2)),
            "ratio": [n / 10 for n in range(12)],
            "flag": [n % 2 == 0 for n in range(12)],
            "available_at": pa.array([datetime(2024, 1, 2)] * 12, pa.timestamp("us")),
        }
    )
    with small_files():
        publish_rows(store(tmp_path), rows, group)
    reader = OfflineReader(store(tmp_path))

    for key, row in zip(keys, rows.to_pylist(), strict=True):
        answer = reader.lookup("prices", (key[0], str(key[1]), key[2].isoformat()), LATE)
        assert answer == row | {"available_at": midnight_after(day_of(0))}
    texts = [(shop, str(item), since.isoformat()) for shop, item, since in reversed(keys)]
    many = reader.lookup_many("prices", [(key, LATE) for key in texts])
    assert many == [reader.lookup("prices", key, LATE) for key in texts]
    for bad in [
        ("a", "01", "2024-01-01"),
        ("a", "x", "2024-01-01"),
        ("a", str(2**70), "2024-01-01"),
        ("a", "1", "20240101"),
        ("a", "1", "2024-01-03"),
        ("a", "1"),
    ]:
        with pytest.raises(UnknownEntity):
            reader.lookup("prices", bad, LATE)
        assert [type(one) for one in reader.lookup_many("prices", [(bad, LATE)])] == [UnknownEntity]


def test_many_lookups_read_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    class Counted(pq.ParquetFile):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            opened.append(1)
            super().__init__(*arguments, **options)

    reader = reader_of(tmp_path, {day_of(n): dict.fromkeys(ODD_IDS, n) for n in range(3)})
    requests = [
        (entity, midnight_after(day_of(n), hours))
        for hours in (1, 2)
        for n in range(3)
        for entity in ODD_IDS
    ]
    monkeypatch.setattr(pq, "ParquetFile", Counted)

    answers = found_many(reader, requests)

    assert answers == [row_of(e, at.date() - timedelta(days=1), at.day - 2) for e, at in requests]
    # The spans, and three days.
    assert len(opened) == 4


def test_no_lookups_are_none(tmp_path: Path) -> None:
    assert reader_of(tmp_path, {day_of(0): {"a": 1}}).lookup_many(GROUP.name, []) == []


# What is not there


def test_an_empty_store_says_nothing_was_published(tmp_path: Path) -> None:
    reader = OfflineReader(store(tmp_path))

    assert reader.groups() == {}
    with pytest.raises(NotPublished, match="materializer publish"):
        reader.lookup(GROUP.name, ("a",), LATE)


def test_another_group_is_unknown_and_so_is_a_table_that_is_no_group(catalog: Catalog) -> None:
    publish(catalog, {day_of(0): {"a": 1}})
    rows = pa.table({"x": [1]})
    publish_table(catalog, "labels", rows, columns=(Column("x", "int64"),), snapshot_properties={})
    reader = OfflineReader(catalog)

    assert list(reader.groups()) == [GROUP.name]
    for name in ("nothing", "labels", "", "a.b", "x'y"):
        with pytest.raises(UnknownGroup, match="known: features_daily"):
            reader.lookup(name, ("a",), LATE)


def test_a_group_without_a_row_knows_nobody(tmp_path: Path) -> None:
    assert found(reader_of(tmp_path, {day_of(0): {}}), "a", LATE) is UnknownEntity


def _remove(path: Path) -> None:
    path.unlink()


def _damage(path: Path) -> None:
    path.write_bytes(b"PAR1 but nothing else PAR1")


@pytest.mark.parametrize("harm", [_remove, _damage])
def test_a_store_whose_files_cannot_be_read_is_unavailable(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    reader = reader_of(tmp_path, {day_of(0): {"a": 1}})
    for path in tmp_path.rglob("*.parquet"):
        harm(path)

    with pytest.raises(OfflineStoreUnavailable):
        reader.lookup(GROUP.name, ("a",), LATE)


def test_a_row_without_its_time_answers_nothing(catalog: Catalog) -> None:
    publish(catalog, {day_of(0): {"a": 1}})
    row = table_of([row_of("b", day_of(1), 2)])
    without = row.set_column(5, "available_at", pa.array([None], pa.timestamp("us")))
    catalog.load_table(table_name(GROUP.name)).append(without)
    update(catalog)
    reader = OfflineReader(catalog)

    assert found(reader, "a", LATE) == row_of("a", day_of(0), 1)
    assert found(reader, "b", LATE) is NotYetAvailable


# What is not opened in vain


def test_only_the_day_that_answers_is_opened(tmp_path: Path, catalog: Catalog) -> None:
    history = {day_of(n): {"active": n} | ({"closed": n} if n < 3 else {}) for n in range(1, 7)}
    publish(catalog, history)
    group_ = replace(GROUP, ttl_days=5)
    publish(catalog, {}, [], group=group_)
    data = tmp_path / "iceberg" / "data" / "feature_store" / GROUP.name / "data"
    for folder in data.iterdir():
        if folder.name != f"day={day_of(2)}":
            shutil.rmtree(folder)
    reader = OfflineReader(catalog)

    assert found(reader, "unknown", LATE) is UnknownEntity
    assert found(reader, "active", midnight_after(day_of(0))) is NotYetAvailable
    assert found(reader, "active", LATE) is Expired
    assert found(reader, "closed", midnight_after(day_of(5))) == row_of("closed", day_of(2), 2)
    with pytest.raises(OfflineStoreUnavailable):
        reader.lookup(GROUP.name, ("active",), midnight_after(day_of(5)))


# New commits


def test_a_new_commit_is_seen_when_the_state_is_old_enough(catalog: Catalog) -> None:
    now = [0.0]
    publish(catalog, {day_of(0): {"a": 1}})
    reader = OfflineReader(catalog, refresh_seconds=1, clock=lambda: now[0])
    first = reader.lookup(GROUP.name, ("a",), LATE)
    before = reader.state(GROUP.name).snapshot_id
    report = publish(catalog, {day_of(0): {"a": 2}}, group=replace(GROUP, max_age_hours=7))

    now[0] = 0.9
    assert reader.lookup(GROUP.name, ("a",), LATE) == first
    assert reader.state(GROUP.name).snapshot_id == before
    now[0] = 1.0
    assert reader.lookup(GROUP.name, ("a",), LATE) == row_of("a", day_of(0), 2)
    assert reader.state(GROUP.name).snapshot_id == report.snapshot_id
    assert reader.groups()[GROUP.name].max_age_hours == 7


def test_a_group_published_later_is_found(catalog: Catalog) -> None:
    reader = OfflineReader(catalog, refresh_seconds=3600)
    with pytest.raises(NotPublished):
        reader.lookup(GROUP.name, ("a",), LATE)

    publish(catalog, {day_of(0): {"a": 1}})

    assert found(reader, "a", LATE) == row_of("a", day_of(0), 1)


def test_a_group_that_was_dropped_is_noticed(catalog: Catalog) -> None:
    publish(catalog, {day_of(0): {"a": 1}})
    reader = OfflineReader(catalog, refresh_seconds=0)
    reader.lookup(GROUP.name, ("a",), LATE)
    catalog.drop_table(spans_name(GROUP.name))

    with pytest.raises(NotPublished):
        reader.lookup(GROUP.name, ("a",), LATE)


def test_a_reader_that_slept_through_many_publishes_finds_its_way(catalog: Catalog) -> None:
    publish(catalog, {day_of(0): {"a": 1}})
    reader = OfflineReader(catalog, refresh_seconds=3600)
    reader.state(GROUP.name)
    for number in range(2, 7):
        publish(catalog, {day_of(0): {"a": number}}, sequence=number)

    # The files of the spans it knows are deleted by now.
    assert found(reader, "a", LATE) == row_of("a", day_of(0), 6)


def test_during_publishes_a_lookup_sees_the_old_or_the_new_and_never_a_mix(tmp_path: Path) -> None:
    # The states differ in the last day and every value; the days of one are gone in the other.
    states = [
        {day_of(n): {"a": 100 + n, "b": 100 + n} for n in range(4)},
        {day_of(n): {"a": 200 + n, "c": 200 + n} for n in range(2, 9)},
    ]
    reader = reader_of(tmp_path, states[0], refresh_seconds=0)
    done = threading.Event()

    def look() -> set[str]:
        seen = set()
        while not done.is_set():
            for entity in ("a", "b", "c"):
                answer = found(reader, entity, LATE)
                allowed = [expected(state, entity, LATE, GROUP) for state in states]
                assert answer in allowed
                seen.add(f"{entity}{allowed.index(answer)}")
        return seen

    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(look) for _ in range(3)]
        for number in range(1, 9):
            state = states[number % 2]
            publish(store(tmp_path), state, warehouse=f"w{number}")
        done.set()
        seen = set.union(*(look.result() for look in looks))

    assert seen == {"a0", "a1", "b0", "b1", "c0", "c1"}


def test_many_threads_get_the_right_rows_from_few_footers(tmp_path: Path) -> None:
    history = {day_of(n): {f"u{i}": 100 * n + i for i in range(40)} for n in range(5)}
    with small_files():
        # Too small for even two footers, so that they are dropped and read again all the time.
        reader = reader_of(tmp_path, history, footer_bytes=1)
    questions = [(f"u{i}", day_of(n)) for i in range(40) for n in range(5)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda q: found(reader, q[0], midnight_after(q[1])), questions))

    assert answers == [row_of(e, d, history[d][e]) for e, d in questions]


def test_the_days_of_the_tests_begin_where_they_say() -> None:
    assert day_of(0) == EPOCH_DAY
