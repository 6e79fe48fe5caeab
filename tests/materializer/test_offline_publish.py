"""Publishing: whole days, one commit, and no removal without a check."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import StringType

from materializer.errors import ContractMismatch, OfflineStoreUnavailable, RemovalsRefused
from materializer.offline import write
from materializer.offline.catalog import (
    LEDGER_SEQUENCE,
    REGISTRY,
    WAREHOUSE_ID,
    spans_name,
    store_id,
    table_name,
)
from materializer.offline.publish import (
    LastPublish,
    PublishReport,
    last_published,
    publish_days,
    publish_table,
)
from materializer.offline.read import files_by_day
from materializer.offline.write import MANIFESTS, commit
from materializer.registry import Column, FeatureGroup, Origin
from tests.materializer.offline_fixtures import (
    GROUP,
    day_of,
    expected_rows,
    publish,
    publish_rows,
    published_rows,
    row_of,
    rows_of,
    store,
    table_of,
)
from tests.support.group import make_group
from tests.support.offline import Offline, rows

HISTORY = {day_of(n): {f"u{i}": 10 * n + i for i in range(5)} for n in range(3)}
HUNDRED = {f"u{i:03d}": i for i in range(100)}


def group_table(catalog: Catalog) -> Table:
    return catalog.load_table(table_name(GROUP.name))


def paths(catalog: Catalog) -> dict[date, list[str]]:
    return {d: [f.file_path for f in fs] for d, fs in files_by_day(group_table(catalog)).items()}


def parquet_files(home: Path) -> set[Path]:
    return set((home / "iceberg" / "data" / "feature_store" / GROUP.name).rglob("*.parquet"))


def current(table: Table) -> Snapshot:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot


def last(catalog: Catalog) -> LastPublish:
    published = last_published(catalog, GROUP.name)
    assert published is not None
    return published


# What a publish writes


def test_a_first_publish_holds_exactly_the_rows(catalog: Catalog) -> None:
    report = publish(catalog, HISTORY)

    assert report == PublishReport(current(group_table(catalog)).snapshot_id, 3, 0, 15)
    assert published_rows(catalog) == expected_rows(HISTORY)


def test_a_publish_is_one_snapshot_that_says_where_it_came_from(catalog: Catalog) -> None:
    publish(catalog, HISTORY, sequence=41, warehouse="w")

    (snapshot,) = group_table(catalog).snapshots()
    summary = snapshot.summary
    assert summary
    assert (summary[LEDGER_SEQUENCE], summary[WAREHOUSE_ID]) == ("41", "w")
    known = FeatureGroup.from_json(group_table(catalog).properties[REGISTRY])
    assert known == replace(GROUP, store_id=store_id(catalog))


def test_a_32_bit_integer_stays_one_and_the_table_is_partitioned_by_day(catalog: Catalog) -> None:
    publish(catalog, HISTORY)

    table = group_table(catalog)

    assert [(f.name, str(f.field_type)) for f in table.schema().fields] == [
        ("user_id", "string"),
        ("day", "date"),
        ("event_count_7d", "long"),
        ("last_event_days_ago", "int"),
        ("event_type_counts", "string"),
        ("available_at", "timestamp"),
    ]
    assert [(f.name, str(f.transform)) for f in table.spec().fields] == [("day", "identity")]


def test_replacing_a_day_leaves_the_others_files_alone(catalog: Catalog) -> None:
    publish(catalog, HISTORY)
    before = paths(catalog)
    new = {day_of(1): {"u1": 7, "new": 8}}

    report = publish(catalog, new, sequence=2)

    after = paths(catalog)
    assert (report.days, report.removed_days, report.rows) == (1, 0, 2)
    assert published_rows(catalog) == expected_rows({**HISTORY, **new})
    assert [d for d in before if before[d] != after[d]] == [day_of(1)]
    assert len(group_table(catalog).snapshots()) == 2


def test_a_day_that_became_empty_is_removed(catalog: Catalog) -> None:
    publish(catalog, HISTORY)

    report = publish(catalog, {}, [day_of(0), day_of(1), day_of(9)], sequence=2)

    assert (report.days, report.removed_days, report.rows) == (0, 2, 0)
    assert published_rows(catalog) == expected_rows({day_of(2): HISTORY[day_of(2)]})


def test_days_of_another_warehouse_that_were_not_passed_are_removed(catalog: Catalog) -> None:
    publish(catalog, HISTORY)

    report = publish(catalog, {day_of(2): {"u1": 1}}, warehouse="another")

    assert (report.days, report.removed_days) == (1, 2)
    assert published_rows(catalog) == expected_rows({day_of(2): {"u1": 1}})


def test_rows_may_come_as_a_stream_in_any_column_order(catalog: Catalog) -> None:
    def rows(day: date) -> pa.RecordBatchReader:
        table = rows_of(HISTORY)(day)
        return table.select(sorted(table.column_names)).to_reader(max_chunksize=2)

    publish_days(catalog, GROUP, days=HISTORY, rows=rows, warehouse_id="w", ledger_sequence=1)

    assert published_rows(catalog) == expected_rows(HISTORY)


def test_progress_is_reported_after_each_day(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []

    publish_days(
        store(tmp_path),
        GROUP,
        days=[day_of(2), day_of(0)],
        rows=rows_of(HISTORY),
        warehouse_id="w",
        ledger_sequence=1,
        progress=lambda done, total: reported.append((done, total)),
    )

    assert reported == [(1, 2), (2, 2)]


def test_files_are_sorted_by_entity_in_small_row_groups(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "ROW_GROUP", 7)
    monkeypatch.setattr(write, "_PIECE", 14)
    publish(catalog, {day_of(0): HUNDRED})

    (path,) = parquet_files(tmp_path)
    file = pq.ParquetFile(path)
    assert file.read(["user_id"]).column(0).to_pylist() == sorted(HUNDRED)
    assert file.metadata.num_row_groups >= 100 / 7
    assert max(file.metadata.row_group(n).num_rows for n in range(5)) == 7


def test_a_very_large_day_becomes_several_files(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "_PIECE", 10)
    monkeypatch.setattr(write, "FILE_ROWS", 30)
    history = {day_of(0): {f"u{i:05d}": i for i in range(5000)}}

    publish(catalog, history)

    assert len(paths(catalog)[day_of(0)]) > 1
    assert published_rows(catalog) == expected_rows(history)


def test_ids_too_long_for_statistics_are_still_found_by_a_reader_that_prunes(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One row group with bounds, one without: the file must not get the bounds of the first.
    monkeypatch.setattr(write, "ROW_GROUP", 2)
    long = "z" * 10_000
    publish(catalog, {day_of(0): {"a": 1, "b": 2, "c": 3, long: 4}})

    found = group_table(catalog).scan(row_filter=f"user_id == '{long}'").to_arrow()

    assert found.column("event_count_7d").to_pylist() == [4]


def test_names_that_need_quotes_are_published(catalog: Catalog) -> None:
    odd = {"user_id": 'the "user" id', "day": "the day"}
    columns = [replace(column, name=odd.get(column.name, column.name)) for column in GROUP.columns]
    group = make_group("odd names", columns, entity=('the "user" id',), partition="the day")
    rows = rows_of(HISTORY)(day_of(0))
    publish_rows(catalog, rows.rename_columns([c.name for c in columns]), group)

    rows = catalog.load_table(table_name(group.name)).scan().to_arrow()
    assert rows.column_names == [c.name for c in columns]
    assert sorted(rows.column(0).to_pylist()) == sorted(HISTORY[day_of(0)])


# What changes when there is nothing to publish


def test_publishing_nothing_to_an_empty_store_makes_no_table(catalog: Catalog) -> None:
    assert publish(catalog, {}) == PublishReport(None, 0, 0, 0)
    assert catalog.list_tables("feature_store") == []
    assert last_published(catalog, GROUP.name) is None


def test_publishing_nothing_again_commits_nothing(catalog: Catalog) -> None:
    publish(catalog, HISTORY)
    before = group_table(catalog).metadata_location

    publish(catalog, {}, [])

    assert group_table(catalog).metadata_location == before


def test_a_changed_registry_is_published_without_days(catalog: Catalog) -> None:
    publish(catalog, HISTORY)
    changed = replace(GROUP, ttl_days=3)

    publish(catalog, {}, [], group=changed)

    for name in (table_name(GROUP.name), spans_name(GROUP.name)):
        known = FeatureGroup.from_json(catalog.load_table(name).properties[REGISTRY])
        assert known == replace(changed, store_id=store_id(catalog))
    assert published_rows(catalog) == expected_rows(HISTORY)


def test_what_a_group_says_of_itself_may_change_at_any_time(catalog: Catalog) -> None:
    publish(catalog, HISTORY)
    described = [
        replace(column, description="New words.", unit="events", window_days=7, null_means="none")
        for column in GROUP.columns
    ]
    changed = replace(
        GROUP,
        description="New words.\nOf two lines.",
        owner="others",
        columns=tuple(described),
        tags=("nightly",),
        version="2",
        latest_version="3",
        deprecation_date="2027-01-01T00:00:00Z",
        lineage=(Origin("source.shop.till.receipts", "source", "till.receipts", None),),
        fresh_hours=24,
        closing_row="event_count_7d = 0",
    )
    more = {**HISTORY, day_of(3): {"u0": 1}}

    publish(catalog, more, [day_of(3)], group=changed)

    known = FeatureGroup.from_json(group_table(catalog).properties[REGISTRY])
    assert known == replace(changed, store_id=store_id(catalog))
    assert published_rows(catalog) == expected_rows(more)


def test_a_newer_sequence_is_kept_without_days(catalog: Catalog) -> None:
    publish(catalog, HISTORY, sequence=1)

    publish(catalog, {}, [], sequence=9)

    published = last(catalog)
    assert (published.ledger_sequence, published.rows, published.visible) == (9, 15, True)


# What was published last


def test_the_last_publish_is_read_back(catalog: Catalog) -> None:
    started = datetime.now(UTC) - timedelta(seconds=1)
    publish(catalog, HISTORY, sequence=5, warehouse="w")
    report = publish(catalog, {}, [day_of(2)], sequence=6, warehouse="w")

    published = last(catalog)

    assert started < published.published_at < datetime.now(UTC) + timedelta(seconds=1)
    assert (published.warehouse_id, published.ledger_sequence) == ("w", 6)
    assert (published.snapshot_id, published.newest_day) == (report.snapshot_id, day_of(1))
    assert (published.rows, published.visible) == (10, True)


def test_another_engines_commit_does_not_hide_the_last_publish(catalog: Catalog) -> None:
    publish(catalog, HISTORY, sequence=5)
    group_table(catalog).delete(f"day = '{day_of(0)}'")

    published = last(catalog)

    assert (published.ledger_sequence, published.rows, published.visible) == (5, 10, False)


# The removal guard


def refused(catalog: Catalog, home: Path, call: Callable[[], Any]) -> tuple[str, ...]:
    """Check that a publish is refused and leaves no trace; give what it said."""
    before = (group_table(catalog).metadata_location, parquet_files(home))
    with pytest.raises(RemovalsRefused) as refusal:
        call()
    assert (group_table(catalog).metadata_location, parquet_files(home)) == before
    return refusal.value.losses


def test_a_day_that_would_be_emptied_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    publish(catalog, HISTORY)

    losses = refused(
        catalog, tmp_path, lambda: publish(catalog, {}, [day_of(1)], allow_removals=False)
    )

    assert losses == ("the whole of 2024-01-02 (5 rows)",)


def test_a_day_that_another_warehouse_lacks_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    publish(catalog, HISTORY)
    rest = {d: HISTORY[d] for d in list(HISTORY)[1:]}

    losses = refused(
        catalog, tmp_path, lambda: publish(catalog, rest, warehouse="another", allow_removals=False)
    )

    assert losses == ("the whole of 2024-01-01 (5 rows)",)


def test_one_entity_in_twenty_may_go(catalog: Catalog) -> None:
    publish(catalog, {day_of(0): HUNDRED})
    rest = dict(list(HUNDRED.items())[5:])

    publish(catalog, {day_of(0): rest}, allow_removals=False)

    assert published_rows(catalog) == expected_rows({day_of(0): rest})


def test_more_than_one_in_twenty_is_refused_even_behind_new_ones(
    tmp_path: Path, catalog: Catalog
) -> None:
    publish(catalog, {day_of(0): HUNDRED})
    swapped = dict(list(HUNDRED.items())[6:]) | {f"new{i}": i for i in range(50)}

    losses = refused(
        catalog, tmp_path, lambda: publish(catalog, {day_of(0): swapped}, allow_removals=False)
    )

    assert losses == ("6 of 100 rows of 2024-01-01",)


def test_many_losses_are_named_in_one_short_line(tmp_path: Path, catalog: Catalog) -> None:
    publish(catalog, {day_of(n): {"a": 1} for n in range(9)})

    losses = refused(
        catalog,
        tmp_path,
        lambda: publish(catalog, {}, [day_of(n) for n in range(9)], allow_removals=False),
    )

    assert losses[-2:] == ("the whole of 2024-01-05 (1 rows)", "and so on for 4 more days")


def test_new_days_and_new_entities_are_no_loss(catalog: Catalog) -> None:
    publish(catalog, {day_of(0): HUNDRED})

    report = publish(
        catalog, {day_of(0): {**HUNDRED, "x": 1}, day_of(1): {"x": 1}}, allow_removals=False
    )

    assert report.rows == 102


def test_the_key_of_several_columns_is_compared_whole(catalog: Catalog) -> None:
    group = replace(GROUP, entity=("user_id", "event_type_counts"))

    def publish_kinds(kind: str) -> None:
        rows = [row_of(f"u{i}", day_of(0), i) | {"event_type_counts": kind} for i in range(9)]
        publish_rows(catalog, table_of(rows), group)

    publish_kinds("a")
    with pytest.raises(RemovalsRefused, match="9 of 9 rows of 2024-01-01"):
        publish_kinds("b")


# Contracts


ONE = table_of([row_of("a", day_of(0), 1)])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (ONE.drop_columns("event_count_7d"), r"lack \['event_count_7d'\]"),
        (ONE.append_column("extra", [["x"]]), r"surplus is \['extra'\]"),
        (
            ONE.set_column(2, "event_count_7d", pa.array(["1"])),
            "event_count_7d is string, not int64",
        ),
        (
            ONE.set_column(5, "available_at", pa.array([0], pa.timestamp("us", "UTC"))),
            r"available_at is timestamp\[us, tz=UTC\], not timestamp",
        ),
        (
            ONE.set_column(3, "last_event_days_ago", pa.array([2**40])),
            "last_event_days_ago: Integer value .* not in range",
        ),
        (
            ONE.set_column(5, "available_at", pa.array([1], pa.timestamp("ns"))),
            "would lose data",
        ),
        (ONE.set_column(0, "user_id", pa.array([None], pa.string())), "user_id is null"),
        (ONE.set_column(0, "user_id", pa.array([""])), "2024-01-01: column user_id is empty"),
        (
            ONE.set_column(5, "available_at", pa.array([None], pa.timestamp("us"))),
            "2024-01-01: column available_at of a is null",
        ),
        (ONE.set_column(1, "day", pa.array([day_of(1)])), "the rows of 2024-01-01 hold another"),
        (ONE.set_column(1, "day", pa.array([None], pa.date32())), "hold another day"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, catalog: Catalog, rows: pa.Table, problem: str
) -> None:
    publish(catalog, HISTORY)
    before = parquet_files(tmp_path)

    with pytest.raises(ContractMismatch, match=problem):
        publish_rows(catalog, rows, day=day_of(0))

    assert parquet_files(tmp_path) == before
    assert published_rows(catalog) == expected_rows(HISTORY)


@pytest.mark.parametrize("kind", ["double", "array<double>"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused_and_nothing_changes(
    home: Path, group: FeatureGroup, kind: str, bad: float
) -> None:
    offline = Offline(home, group)
    columns = (*offline.group.columns, Column("ratio", kind))
    offline.group = replace(offline.group, columns=columns)
    ann, bob = rows("2024-01-01", ann=1, bob=1)
    good: Any = 0.5 if kind == "double" else [0.5, None]
    before = offline.publish({"2024-01-01": [{**ann, "ratio": good}, {**bob, "ratio": None}]})

    with pytest.raises(ContractMismatch, match="column ratio of bob is NaN or infinite"):
        offline.publish(
            {
                "2024-01-01": [
                    {**ann, "ratio": good},
                    {**bob, "ratio": bad if kind == "double" else [0.5, bad]},
                ]
            }
        )

    current = offline.table.current_snapshot()
    assert current is not None
    assert current.snapshot_id == before
    offline.close()


@pytest.mark.parametrize("kind", ["date", "timestamp", "array<date>", "array<timestamp>"])
@pytest.mark.parametrize("bad", ["infinity", "-infinity", "10000-01-01", "0044-03-15 (BC)"])
def test_times_that_no_reader_can_give_are_refused(catalog: Catalog, kind: str, bad: str) -> None:
    scalar = kind.removeprefix("array<").removesuffix(">")
    value = f"{scalar} '{bad}'" if scalar == kind else f"[null, {scalar} '{bad}']"
    columns = {"user_id": "string", "day": "date", "available_at": "timestamp", "seen": kind}
    with duckdb.connect() as connection:
        made = connection.sql(
            "select 'bob' as user_id, date '2024-01-01' as day, "
            f"timestamp '2024-01-02' as available_at, {value} as seen"
        ).to_arrow_table()

    with pytest.raises(ContractMismatch, match="column seen of bob is not in the years 1 to 9999"):
        publish_rows(catalog, made, make_group(columns=columns))


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        (
            replace(GROUP, columns=(*GROUP.columns, Column("extra", "int64"))),
            "extra was published as nothing, and is int64 now",
        ),
        (
            replace(GROUP, columns=GROUP.columns[:-2] + GROUP.columns[-1:]),
            "event_type_counts was published as string, and is gone now",
        ),
        (
            replace(
                GROUP,
                columns=tuple(
                    Column(c.name, "double") if c.name == "event_count_7d" else c
                    for c in GROUP.columns
                ),
            ),
            "event_count_7d was published as int64, and is double now",
        ),
        (replace(GROUP, entity=("event_type_counts",)), "entity was published as"),
        (replace(GROUP, partition="available_at"), "partition was published as"),
    ],
)
def test_a_group_that_changed_its_shape_is_refused(
    catalog: Catalog, group: FeatureGroup, problem: str
) -> None:
    publish(catalog, HISTORY)

    with pytest.raises(ContractMismatch, match=problem):
        publish_rows(catalog, ONE, group, day=day_of(0))


def test_a_column_that_another_program_added_is_told_apart_from_one_that_is_gone(
    catalog: Catalog,
) -> None:
    publish(catalog, HISTORY)
    with group_table(catalog).update_schema() as change:
        change.add_column("note", StringType())

    with pytest.raises(ContractMismatch, match="columns that no publish made: note; drop them"):
        publish_rows(catalog, ONE, day=day_of(0))


def test_a_key_called_like_a_column_of_the_spans_is_refused(tmp_path: Path) -> None:
    columns = (Column("first_day", "string"), *GROUP.columns[1:])
    group = replace(GROUP, entity=("first_day",), columns=columns)

    with pytest.raises(ContractMismatch, match="a key cannot be called first_day"):
        publish_rows(store(tmp_path), ONE.rename_columns([c.name for c in columns]), group)


def test_every_type_of_a_contract_is_published(catalog: Catalog) -> None:
    columns = {
        **{"user_id": "string", "day": "date", "ratio": "double", "flag": "boolean"},
        **{"price": "decimal(10,2)", "available_at": "timestamp"},
    }
    rows = pa.table(
        {
            "user_id": ["a"],
            "day": [day_of(0)],
            "ratio": [0.1],
            "flag": [True],
            "price": pa.array(["12.50"]).cast(pa.decimal128(10, 2)),
            "available_at": pa.array([datetime(2024, 1, 2)], pa.timestamp("us")),
        }
    )

    publish_rows(catalog, rows, make_group(columns=columns))

    assert group_table(catalog).scan().to_arrow().to_pylist() == rows.to_pylist()


# Tables that are replaced whole


LABELS = (
    Column("user_id", "string"),
    Column("label", "double"),
    Column("as_of_ts", "timestamp"),
)


def labels(count: int) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array([f"u{i}" for i in range(count)], pa.string()),
            "label": pa.array([float(i) for i in range(count)], pa.float64()),
            "as_of_ts": pa.array([datetime(2024, 1, 2)] * count, pa.timestamp("us")),
        }
    )


@pytest.mark.parametrize("count", [0, 3])
def test_a_whole_table_is_replaced_in_one_snapshot(catalog: Catalog, count: int) -> None:
    publish_table(catalog, "labels", labels(5), columns=LABELS, snapshot_properties={"x": "1"})

    snapshot_id = publish_table(
        catalog, "labels", labels(count).to_reader(), columns=LABELS, snapshot_properties={"x": "2"}
    )

    table = catalog.load_table(table_name("labels"))
    summary = current(table).summary
    assert summary
    assert (current(table).snapshot_id, summary["x"]) == (snapshot_id, "2")
    assert table.scan().to_arrow().to_pylist() == labels(count).to_pylist()
    assert len(table.snapshots()) == 2


def test_a_whole_table_whose_columns_changed_is_refused(catalog: Catalog) -> None:
    publish_table(catalog, "labels", labels(5), columns=LABELS, snapshot_properties={})

    with pytest.raises(ContractMismatch, match="label was published as double"):
        publish_table(
            catalog,
            "labels",
            labels(5).drop_columns("label"),
            columns=(LABELS[0], LABELS[2]),
            snapshot_properties={},
        )


# Leftovers and growth


def test_a_table_that_a_killed_first_publish_left_is_made_again(catalog: Catalog) -> None:
    catalog.create_namespace("feature_store")
    catalog.create_table(table_name(GROUP.name), pa.schema([("something_else", pa.int64())]))

    publish(catalog, HISTORY)

    assert published_rows(catalog) == expected_rows(HISTORY)


def test_a_second_writer_fails_and_changes_nothing(catalog: Catalog) -> None:
    publish(catalog, HISTORY)
    stale = group_table(catalog)
    publish(catalog, {day_of(1): {"u1": 1}}, sequence=2)
    before = published_rows(catalog)

    with pytest.raises(OfflineStoreUnavailable, match="features_daily"):
        commit(stale, add=[], remove=[], snapshot_properties={}, properties={})

    assert published_rows(catalog) == before


def test_metadata_stays_bounded_over_many_publishes(tmp_path: Path, catalog: Catalog) -> None:
    for number in range(MANIFESTS + 5):
        publish(catalog, {day_of(number): {"a": number}}, sequence=number)

    table = group_table(catalog)
    assert len(current(table).manifests(table.io)) <= MANIFESTS
    for name in (GROUP.name, f"_spans_{GROUP.name}"):
        folder = tmp_path / "iceberg" / "data" / "feature_store" / name / "metadata"
        assert len(list(folder.glob("*.metadata.json"))) <= 11
    history = {day_of(n): {"a": n} for n in range(MANIFESTS + 5)}
    assert published_rows(catalog) == expected_rows(history)
    published = last(catalog)
    assert (published.ledger_sequence, published.visible) == (MANIFESTS + 4, True)
