"""Backfill obeys its laws: whatever was built when, the table is what one full build makes."""

import random
import re
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.dbt import Project, Run
from tests.support.store import copy

FIRST = date(2024, 1, 20)
LAST = date(2024, 3, 30)
ALL_DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]


def _history(seed: int = 7, users: int = 8, events: int = 160) -> list[oracle.Event]:
    draw = random.Random(seed)
    seconds = len(ALL_DAYS) * 86_400
    history = [
        (
            f"user{draw.randrange(users)}",
            draw.choice("xyz"),
            datetime(2024, 1, 20) + timedelta(seconds=draw.randrange(seconds)),
        )
        for _ in range(events)
    ]
    # The first day has an event, so that every test agrees on where history begins.
    return [("user0", "x", datetime(2024, 1, 20, 0, 0)), *history]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return _project(tmp_path / "store")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the project with every day built, in two steps. Only copy it."""
    made = _project(tmp_path_factory.mktemp("whole") / "store")
    _range(made, date(2024, 3, 10), date(2024, 3, 20))
    _run(made).assert_done()
    return made


@pytest.fixture
def built(whole: Project, tmp_path: Path) -> Project:
    """Give the same, to build on."""
    return copy(whole, tmp_path / "store")


def _project(folder: Path) -> Project:
    project = Project(folder, writes_artifacts=False)
    project.write_history(_history())
    project.write_labels([("user0", 1.0, "2024-03-01 12:00:00")])
    return project


def _run(project: Project, *args: str, **variables: object) -> Run:
    return project.dbt("run", "--select", "stg_events", "features_daily", *args, **variables)


def _range(project: Project, start: date, end: date) -> Run:
    return _run(project, start_date=str(start), end_date=str(end)).assert_done()


def test_ranges_in_any_order_and_overlapping_end_in_the_full_table(project: Project) -> None:
    _range(project, date(2024, 3, 1), LAST)
    _range(project, FIRST, date(2024, 2, 10))
    _range(project, date(2024, 2, 5), date(2024, 3, 5))

    assert project.features() == oracle.features(_history(), ALL_DAYS)
    assert sorted(project.sequences()) == ALL_DAYS


def test_a_range_builds_its_two_ends_and_no_day_more(project: Project) -> None:
    _range(project, date(2024, 2, 10), date(2024, 2, 12))

    days = [date(2024, 2, 10), date(2024, 2, 11), date(2024, 2, 12)]
    assert sorted(project.sequences()) == days
    assert project.features() == oracle.features(_history(), days)


def test_a_plain_build_fills_what_is_missing(project: Project) -> None:
    _range(project, date(2024, 2, 10), date(2024, 2, 12))
    before = project.sequences()

    run = _run(project).assert_done()

    assert project.features() == oracle.features(_history(), ALL_DAYS)
    assert f"{len(ALL_DAYS) - 3} days missing, 2024-01-20 to 2024-03-30" in run.output
    after = project.sequences()
    assert {day: after[day] for day in before} == before


@pytest.mark.parametrize(
    ("args", "variables"),
    [
        pytest.param((), {"start_date": "2024-02-01", "end_date": "2024-02-29"}, id="range"),
        pytest.param(("--full-refresh",), {}, id="full refresh"),
        pytest.param(("--full-refresh",), {"backfill_chunk_days": 20}, id="in chunks"),
    ],
)
def test_building_again_what_is_built_changes_no_row(
    built: Project, args: tuple[str, ...], variables: dict[str, object]
) -> None:
    _run(built, *args, **variables).assert_done()

    assert built.features() == oracle.features(_history(), ALL_DAYS)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param({}, None, id="first build"),
        pytest.param({"start_date": str(FIRST), "end_date": str(LAST)}, None, id="range"),
        pytest.param({"start_date": "2024-02-10", "end_date": "2024-02-12"}, {}, id="the rest"),
        pytest.param({}, {"start_date": "2024-01-25", "end_date": str(LAST)}, id="range again"),
    ],
)
def test_a_build_in_chunks_ends_in_the_same_table(
    project: Project, first: dict[str, object], then: dict[str, object] | None
) -> None:
    for variables in (first, then):
        if variables is not None:
            run = _run(project, backfill_chunk_days=9, **variables).assert_done()

    assert project.features() == oracle.features(_history(), ALL_DAYS)
    assert sorted(project.sequences()) == ALL_DAYS
    assert re.search(r"features_daily: (\d+) of \1 days built, to 2024-03-30", run.output)


def test_days_far_apart_are_built_in_a_chunk_each(built: Project) -> None:
    # Two events move, and each dirties days of its own.
    changed = [event for event in _history() if event[2].date() not in (FIRST, LAST)]
    built.write_history([("user0", "x", datetime(2024, 1, 20)), *changed])

    run = _run(built, backfill_chunk_days=1, healing_horizon_days=400).assert_done()

    events = [("user0", "x", datetime(2024, 1, 20)), *changed]
    assert built.features() == oracle.features(events, ALL_DAYS)
    assert "days events changed" in run.output


def test_chunks_of_no_days_are_refused(project: Project) -> None:
    project.parses = True

    run = _run(project, backfill_chunk_days=0)

    run.assert_failed("backfill_chunk_days: 0 is not a number of days; write 31")


def test_a_build_with_nothing_to_do_writes_nothing(built: Project) -> None:
    before = built.sequences()

    run = _run(built).assert_done()

    assert built.sequences() == before
    assert "every finished day is built and no event changed" in run.output


def test_a_day_that_became_empty_loses_its_rows(built: Project) -> None:
    left = [event for event in _history() if event[2].date() == FIRST]
    built.write_history(left)

    _range(built, date(2024, 3, 1), LAST)

    rebuilt = [day for day in ALL_DAYS if day >= date(2024, 3, 1)]
    kept = [day for day in ALL_DAYS if day < date(2024, 3, 1)]
    assert built.features() == oracle.features(_history(), kept) + oracle.features(left, rebuilt)
    assert set(rebuilt) <= set(built.sequences())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda events: [*events, events[50]], id="given twice"),
        pytest.param(lambda events: events[:50] + events[51:], id="removed"),
        pytest.param(
            lambda events: [*events[:50], (events[50][0], "other", events[50][2]), *events[51:]],
            id="retyped",
        ),
        pytest.param(
            lambda events: [
                *events[:50],
                (*events[50][:2], events[50][2] + timedelta(microseconds=1)),
                *events[51:],
            ],
            id="moved",
        ),
    ],
)
def test_a_changed_event_heals_exactly_the_days_that_see_it(built: Project, change) -> None:  # type: ignore[no-untyped-def]
    before = built.sequences()
    changed = change(_history())
    built.write_history(changed)

    run = _run(built).assert_done()

    day = _history()[50][2].date()
    healed = {d for d, sequence in built.sequences().items() if sequence != before[d]}
    assert healed == {d for d in ALL_DAYS if day <= d <= day + timedelta(days=30)}
    assert built.features() == oracle.features(changed, ALL_DAYS)
    assert "events changed" in run.output


def test_a_late_event_beyond_the_horizon_waits_for_a_range(built: Project) -> None:
    late = [*_history(), ("user1", "late", datetime(2024, 3, 1, 12))]
    built.write_history(late)

    _run(built, healing_horizon_days=10).assert_done()
    near = [d for d in ALL_DAYS if d > LAST - timedelta(days=10)]
    far = [d for d in ALL_DAYS if d not in near]
    assert built.features() == oracle.features(_history(), far) + oracle.features(late, near)

    _range(built, date(2024, 3, 1), LAST)
    assert built.features() == oracle.features(late, ALL_DAYS)


def test_events_no_longer_kept_do_not_change_the_days_built_on_them(built: Project) -> None:
    before, sequences = built.features(), built.sequences()
    kept = [event for event in _history() if event[2].date() >= date(2024, 2, 20)]
    built.write_history(kept)

    _run(built).assert_done()

    assert built.features() == before
    assert built.sequences() == sequences


def test_a_changed_lag_stamps_every_row_anew(built: Project) -> None:
    run = _run(built, availability_lag_hours=6).assert_done()

    assert built.features() == oracle.features(_history(), ALL_DAYS, timedelta(hours=6))
    assert f"{len(ALL_DAYS)} days availability lag changed" in run.output


def test_a_changed_lag_stamps_frozen_days_too_and_a_range_beside_it(built: Project) -> None:
    expected = oracle.features(_history(), ALL_DAYS, timedelta(hours=6))
    built.write_history([event for event in _history() if event[2].date() >= date(2024, 2, 20)])

    _run(
        built, availability_lag_hours=6, start_date="2024-03-25", end_date="2024-03-27"
    ).assert_done()

    assert built.features() == expected


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        ("2024-03-30T23:59:59.999999Z", date(2024, 3, 29)),
        ("2024-03-31T00:00:00Z", date(2024, 3, 30)),
        ("2024-03-31T01:59:59+02:00", date(2024, 3, 29)),
    ],
)
def test_a_day_is_built_once_it_is_over_and_not_a_moment_earlier(
    project: Project, now: str, newest: date
) -> None:
    project.now = now
    _run(project).assert_done()
    assert max(project.sequences()) == newest


@pytest.mark.parametrize("args", [(), ("--full-refresh",)])
def test_days_that_are_not_over_are_removed_and_built_when_they_are(
    project: Project, args: tuple[str, ...]
) -> None:
    _run(project).assert_done()
    project.now = "2024-03-16T00:00:00Z"

    run = _run(project, *args).assert_done()

    over = [day for day in ALL_DAYS if day < date(2024, 3, 16)]
    assert "features_daily: 15 days not over, 2024-03-16 to 2024-03-30" in run.output
    assert project.features() == oracle.features(_history(), over)

    project.now = "2024-03-31T00:00:00Z"
    assert "15 days missing, 2024-03-16 to 2024-03-30" in _run(project).assert_done().output
    assert project.features() == oracle.features(_history(), ALL_DAYS)


def test_an_earlier_clock_removes_no_day_that_could_not_be_built_again(project: Project) -> None:
    _run(project).assert_done()
    before = project.features()
    project.write_history([event for event in _history() if event[2].date() >= LAST])
    project.now = "2024-02-15T00:00:00Z"

    _run(project).assert_done()

    assert project.features() == before


def test_a_build_killed_at_any_moment_is_completed_by_the_next(
    project: Project, tmp_path: Path
) -> None:
    draw = random.Random(11)
    twin = _project(tmp_path / "twin")
    started = time.monotonic()
    _run(twin).assert_done()
    usual = time.monotonic() - started
    for attempt in range(5):
        process = project.start("run", "--select", "stg_events", "features_daily")
        process.wait(usual * draw.uniform(0.3, 1.1))
        process.kill()
        if project.warehouse.exists() and attempt % 2:
            # Data and ledger agree after every kill.
            disagreeing = (
                project.query(
                    "select day from (select day, count(*) as n from feature_store.features_daily "
                    'group by 1) as data full join (select day, arg_max("rows", "sequence") as n '
                    "from feature_store.build_ledger group by 1) as ledger using (day) "
                    "where coalesce(data.n, 0) <> coalesce(ledger.n, 0)"
                )
                if _has_features(project)
                else []
            )
            assert disagreeing == []

    _run(project).assert_done()

    assert project.features() == oracle.features(_history(), ALL_DAYS)


def _has_features(project: Project) -> bool:
    return bool(project.query("select 1 from duckdb_tables() where table_name = 'features_daily'"))


@pytest.mark.parametrize(
    ("variables", "args", "message"),
    [
        ({"start_date": "2024-02-01"}, (), "end_date is missing; write --vars"),
        ({"end_date": "2024-02-01"}, (), "start_date is missing; write --vars"),
        (
            {"start_date": "2024-02-02", "end_date": "2024-02-01"},
            (),
            "start_date 2024-02-02 is after end_date 2024-02-01; swap them",
        ),
        (
            {"start_date": "2024-02-30", "end_date": "2024-03-01"},
            (),
            "start_date: 2024-02-30 is not a date; write --vars",
        ),
        (
            {"start_date": "yesterday", "end_date": "2024-03-01"},
            (),
            "start_date: yesterday is not a date; write --vars",
        ),
        (
            {"start_date": "2024-03-30", "end_date": "2024-03-31"},
            (),
            "2024-03-31 is not over yet; the last finished day (UTC) is 2024-03-30",
        ),
        (
            {"start_date": "2024-02-01", "end_date": "2024-02-02"},
            ("--full-refresh",),
            "a date range with --full-refresh would drop every other day",
        ),
        (
            {"availability_lag_hours": "soon"},
            (),
            "availability_lag_hours: soon is not a whole number of hours",
        ),
    ],
)
def test_a_bad_range_is_refused_and_nothing_is_built(
    project: Project, variables: dict[str, object], args: tuple[str, ...], message: str
) -> None:
    project.parses = True

    run = _run(project, *args, **variables)

    run.assert_failed(message)
    assert not project.warehouse.exists() or not _has_features(project)


def test_a_clock_that_is_no_time_is_refused(project: Project) -> None:
    project.parses = True
    project.now = "tomorrow"
    _run(project).assert_failed("FEATURE_STORE_NOW=tomorrow is not an ISO time")


def test_a_bad_range_leaves_the_verdicts_as_they_were(project: Project) -> None:
    project.build().assert_done()
    said = "select * from feature_store.gate_verdicts order by all"
    before = project.query(said)
    project.parses = True

    assert project.build(start_date="2024-02-02", end_date="2024-02-01").code != 0

    assert before
    assert project.query(said) == before
