"""Bad input gets a clear answer, and what was built before is still there."""

from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from tests.support.dbt import Project
from tests.support.store import copy

NOON = "timestamp '2024-03-30 12:00:00'"
GOOD = [("a", "x", "2024-03-29 12:00:00"), ("b", "y", "2024-03-30 12:00:00")]


def _project(folder: Path) -> Project:
    project = Project(folder, writes_artifacts=False, parses=True)
    project.write_events(GOOD)
    project.write_labels([("a", 1.0, "2024-03-30 12:00:00")])
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return _project(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the project, built and past its gate. Only copy it."""
    made = _project(tmp_path_factory.mktemp("whole") / "store")
    made.build().assert_done()
    return made


@pytest.fixture
def built(whole: Project, tmp_path: Path) -> Project:
    return copy(whole, tmp_path / "built")


def _parquet(project: Project, columns: str, name: str = "typed.parquet") -> None:
    """Write one event, and make it the input."""
    path = project.folder / name
    duckdb.execute(f"copy (select {columns}) to '{path}' (format parquet)")
    project.variables["events_path"] = name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("events.csv", "", "events_path"),
        ("events.csv", "user,event_type,ts\na,x,2024-03-30\n", "column user_id is missing"),
        ("events.csv", "user_id,event_type\na,x\n", "column ts is missing"),
        ("events.xlsx", "not a table", "events.xlsx is neither Parquet (.parquet) nor CSV (.csv"),
        ("nowhere/*.parquet", None, "events_path: no file matches"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_before_anything_is_built(
    project: Project, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (project.folder / name).write_text(text)

    run = project.build(events_path=name)

    run.assert_failed(message)
    assert run.statuses.get("features_daily", "skipped") == "skipped"


def test_a_misspelt_option_is_refused_while_dbt_parses(project: Project) -> None:
    run = project.dbt("parse", events_path={"path": "events.csv", "delim": ";"})

    run.assert_failed("events_path: delim is unknown; write a path")


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (("", "x", "2024-03-30 12:00:00"), "user_id: missing or unreadable"),
        (("c", "", "2024-03-30 12:00:00"), "user_id: c, event_type: missing or unreadable"),
        (("c", "x", ""), "user_id: c, event_type: x, ts: missing or unreadable"),
        (("c", "x", "half past nine"), "user_id: c, event_type: x, ts: missing or unreadable"),
        (("c", "x", "2024-02-30 12:00:00"), "user_id: c, event_type: x, ts: missing or unreadable"),
    ],
)
def test_a_bad_event_stops_the_build_and_the_table_stays(
    built: Project, row: tuple[str, str, str], named: str
) -> None:
    before = built.features()
    built.write_events([*GOOD, row])

    run = built.build()

    run.assert_failed("FAIL stg_events_is_well_formed")
    assert run.statuses["stg_events_is_well_formed"] == "fail"
    assert run.statuses["features_daily"] == "skipped"
    assert built.features() == before
    shown = built.dbt("test", "--select", "features_daily_events_are_well_formed")
    assert named in shown.output


@pytest.mark.parametrize(
    ("user_id", "ts", "message"),
    [
        ("1.5 :: double", NOON, "column user_id is DOUBLE, which is no text"),
        ("'a' :: blob", NOON, "column user_id is BLOB, which is no text"),
        ("'a'", "1711800000", "column ts is INTEGER, which is no time"),
    ],
)
def test_a_column_that_has_no_one_reading_is_refused(
    project: Project, user_id: str, ts: str, message: str
) -> None:
    _parquet(project, f"{user_id} as user_id, 'x' as event_type, {ts} as ts")

    project.build().assert_failed(message)


@pytest.mark.parametrize(
    ("ts", "read"),
    [
        ("timestamp '2024-03-30 23:59:59.999999'", "2024-03-30 23:59:59.999999"),
        ("timestamp_ns '2024-03-30 23:59:59.999999999'", "2024-03-30 23:59:59.999999"),
        ("timestamp_ns '1969-12-31 23:59:59.999999999'", "1969-12-31 23:59:59.999999"),
        ("timestamp_ms '2024-03-30 23:59:59.999'", "2024-03-30 23:59:59.999"),
        ("timestamptz '2024-03-31 01:30:00+02:00'", "2024-03-30 23:30:00"),
        ("date '2024-03-30'", "2024-03-30 00:00:00"),
        ("'2024-03-30 23:30:00'", "2024-03-30 23:30:00"),
        ("'2024-03-31T01:30:00+02:00'", "2024-03-30 23:30:00"),
        ("'2024-03-30T23:30:00Z'", "2024-03-30 23:30:00"),
    ],
)
def test_times_of_every_type_become_utc_microseconds_cut_not_rounded(
    project: Project, monkeypatch: pytest.MonkeyPatch, ts: str, read: str
) -> None:
    # A view over files named relatively reads them from the folder it is read in.
    monkeypatch.chdir(project.folder)
    _parquet(project, f"'a' as user_id, 'x' as event_type, {ts} as ts")
    project.dbt("run", "--select", "stg_events").assert_done()
    found = duckdb.connect(str(project.warehouse), read_only=True)
    with found:
        found.execute("set TimeZone = 'UTC'")
        rows = found.execute("select cast(ts as varchar) from feature_store.stg_events").fetchall()
    assert rows == [(read,)]


def test_a_time_without_offset_is_utc_on_every_machine(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    project.write_events([("a", "x", "2024-03-30 23:30:00")])

    project.dbt("run", "--select", "stg_events", "features_daily").assert_done()

    [row] = project.features()
    assert (row[1], row[7]) == (date(2024, 3, 30), datetime(2024, 3, 30, 23, 30))


def test_ids_are_read_exactly_as_written(project: Project) -> None:
    ids = [
        "007",
        "null",
        "NULL",
        " a",
        "a,b",
        'say "hi"',
        "it's",
        "é🎈",
        "1e5",
        "true",
        "x" * 10_000,
    ]
    project.write_events([(user, "x", "2024-03-30 12:00:00") for user in ids])
    project.build().assert_done()
    assert sorted(str(row[0]) for row in project.features()) == sorted(ids)


def test_integer_ids_are_their_digits(project: Project) -> None:
    _parquet(project, f"9223372036854775807 as user_id, 'x' as event_type, {NOON} as ts")
    project.build().assert_done()
    assert project.features()[0][0] == "9223372036854775807"


def test_extra_columns_are_ignored_and_their_order_does_not_matter(project: Project) -> None:
    _parquet(project, f"{NOON} as ts, 1 as extra, 'x' as event_type, 'a' as user_id")
    project.build().assert_done()
    assert [row[:4] for row in project.features()] == [
        ("a", row[1], 1, 1) for row in project.features()
    ]


def test_a_file_left_by_a_killed_writer_is_skipped(project: Project) -> None:
    _parquet(project, f"'a' as user_id, 'x' as event_type, {NOON} as ts", "part-1.parquet")
    (project.folder / "tmp_part-2.parquet").write_bytes(b"PAR1 half")
    project.build(events_path="*.parquet").assert_done()
    assert len(project.features()) == 1


def test_an_empty_input_turns_the_gate_red_and_removes_nothing(built: Project) -> None:
    before = built.features()
    built.write_events([])

    run = built.build()

    run.assert_failed("the input is empty")
    assert run.statuses["features_daily_newest_day_has_events"] == "fail"
    assert built.features() == before


def test_an_input_that_stopped_coming_turns_the_gate_red(project: Project) -> None:
    project.now = "2024-04-02T00:00:00Z"
    run = project.build()
    assert run.statuses["features_daily_newest_day_has_events"] == "fail"
    assert "the newest built day 2024-04-01 has no event" in run.output


def test_labels_before_any_event_come_out_with_nulls(project: Project) -> None:
    project.write_labels(
        [("a", 1.0, "2020-01-01 00:00:00"), ("nobody", 0.0, "2024-03-30 12:00:00")]
    )
    project.build().assert_done()
    rows = project.training()
    assert [row[0] for row in rows] == ["a", "nobody"]
    assert all(value is None for row in rows for value in row[3:])


def test_a_label_given_twice_is_two_rows(project: Project) -> None:
    project.write_labels([("a", 1.0, "2024-03-30 12:00:00")] * 2)
    project.dbt("run").assert_done()
    first, second = project.training()
    assert first == second


def test_a_label_without_key_or_time_stops_the_build(project: Project) -> None:
    project.write_labels([("a", 1.0, "never")])
    run = project.build()
    run.assert_failed("FAIL stg_labels_is_well_formed")
    assert run.statuses["stg_labels_is_well_formed"] == "fail"
    assert run.statuses["training_data"] == "skipped"
