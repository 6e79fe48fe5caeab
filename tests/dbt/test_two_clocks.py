"""Events that tell when they arrived: what a snapshot may know, and that it never learns more."""

import random
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.dbt import Project, Run
from tests.support.store import copy

FIRST = date(2024, 2, 1)
LAST = date(2024, 3, 30)
ALL_DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
MIDNIGHT = datetime(2024, 3, 11)


def _history(seed: int = 3, events: int = 120) -> list[oracle.Event]:
    draw = random.Random(seed)
    seconds = len(ALL_DAYS) * 86_400
    made: list[oracle.Event] = [("user0", "x", datetime(2024, 2, 1), datetime(2024, 2, 1))]
    for _ in range(events):
        at = datetime(2024, 2, 1) + timedelta(seconds=draw.randrange(seconds))
        # Two in three arrive at once, the others up to 35 days later.
        late = draw.choice([0, 0, 0, 0, draw.randrange(48), draw.randrange(35 * 24)])
        arrival = at + timedelta(hours=late, seconds=1)
        made.append((f"user{draw.randrange(6)}", draw.choice("xyz"), at, arrival))
    return made


LABELS: Sequence[oracle.Label] = [
    (f"user{n % 6}", 1.0, datetime(2024, 2, 10) + timedelta(hours=31 * n)) for n in range(36)
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return _project(tmp_path / "store")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the project with every day built. Only copy it."""
    made = _project(tmp_path_factory.mktemp("whole") / "store")
    _run(made)
    return made


@pytest.fixture
def built(whole: Project, tmp_path: Path) -> Project:
    """Give the same, to build on."""
    return copy(whole, tmp_path / "store")


def _project(folder: Path) -> Project:
    made = Project(folder, writes_artifacts=False)
    made.write_history(_history())
    _write_labels(made, LABELS)
    return made


def _write_labels(project: Project, labels: Sequence[oracle.Label]) -> None:
    project.write_labels([(user, label, at.isoformat(sep=" ")) for user, label, at in labels])


def _run(project: Project, **variables: object) -> Run:
    return project.dbt("run", "--select", "+features_daily", **variables).assert_done()


def test_features_and_training_rows_know_what_had_arrived_and_the_gate_agrees(
    project: Project,
) -> None:
    project.build().assert_done()

    assert project.features() == oracle.features(_history(), ALL_DAYS)
    expected = oracle.training(LABELS, _history(), ALL_DAYS)
    assert sorted(project.training(), key=repr) == sorted(expected, key=repr)
    assert expected != oracle.training(LABELS, [e[:3] for e in _history()], ALL_DAYS)


@pytest.mark.parametrize(
    ("arrival", "known_from"),
    [
        pytest.param(MIDNIGHT - timedelta(microseconds=1), date(2024, 3, 10), id="just in time"),
        pytest.param(MIDNIGHT, date(2024, 3, 11), id="at the very moment"),
        pytest.param(MIDNIGHT + timedelta(days=5), date(2024, 3, 16), id="days later"),
    ],
)
def test_a_late_event_is_built_into_the_days_that_could_know_it_and_no_other(
    built: Project, arrival: datetime, known_from: date
) -> None:
    before = built.sequences()
    late = ("user1", "new", datetime(2024, 3, 10, 12), arrival)
    built.write_history([*_history(), late])

    _run(built)

    after = built.sequences()
    assert {day for day in after if after[day] != before[day]} == {
        day for day in ALL_DAYS if known_from <= day <= LAST
    }
    assert built.features() == oracle.features([*_history(), late], ALL_DAYS)


def test_an_event_that_arrives_after_its_window_changes_nothing(built: Project) -> None:
    before, rows = built.sequences(), built.features()
    too_late = ("user1", "new", datetime(2024, 2, 10, 12), datetime(2024, 3, 13))
    built.write_history([*_history(), too_late])

    _run(built)

    assert (built.sequences(), built.features()) == (before, rows)


@pytest.mark.parametrize("today", ["2024-02-20", "2024-03-06", "2024-03-25"])
def test_a_training_set_built_today_equals_the_one_built_at_the_time(
    project: Project, today: str
) -> None:
    midnight = datetime.fromisoformat(today)
    labels = [label for label in LABELS if label[2] < midnight]
    _write_labels(project, labels)
    project.now = f"{today}T00:00:00Z"
    project.write_history([event for event in _history() if event[-1] < midnight])
    project.build("--exclude", "features_daily_newest_day_has_events").assert_done()
    at_the_time = project.training()

    project.now = "2024-03-31T00:00:00Z"
    project.write_history(_history())
    project.build().assert_done()
    healed = project.training()
    project.build("--full-refresh").assert_done()

    assert healed == project.training() == at_the_time
    assert len(at_the_time) == len(labels)


def test_a_changed_lag_builds_every_day_anew(built: Project) -> None:
    run = _run(built, availability_lag_hours=30, healing_horizon_days=1)

    lag = timedelta(hours=30)
    assert built.features() == oracle.features(_history(), ALL_DAYS, lag)
    assert f"{len(ALL_DAYS)} days availability lag changed" in run.output


def test_a_changed_lag_beside_a_range_builds_the_other_days_too(built: Project) -> None:
    _run(built, availability_lag_hours=6, start_date="2024-03-01", end_date="2024-03-02")

    assert built.features() == oracle.features(_history(), ALL_DAYS, timedelta(hours=6))


def test_frozen_days_are_never_told_to_have_been_known_earlier(project: Project) -> None:
    _run(project, availability_lag_hours=30)
    rows = project.features()
    kept = [event for event in _history() if event[2].date() >= date(2024, 3, 1)]
    project.write_history(kept)

    run = project.dbt("run", "--select", "+features_daily", availability_lag_hours=6)

    assert run.code == 1
    assert (
        "availability_lag_hours: 6 is less than the 30 of 59 frozen days, "
        "2024-02-01 to 2024-03-30" in run.output
    )
    assert project.features() == rows


def test_rows_that_know_what_had_not_arrived_are_red_and_named(project: Project) -> None:
    events = [*_history(), ("user1", "new", datetime(2024, 3, 10, 12), datetime(2024, 3, 14, 6))]
    label = ("user1", 1.0, datetime(2024, 3, 12, 12))
    _write_labels(project, [*LABELS, label])
    # Built without the column, as a store that knows one clock would.
    project.write_history([event[:3] for event in events])
    project.build().assert_done()
    project.write_history(events)
    project.dbt("run", "--select", "stg_events").assert_done()

    run = project.dbt("test", "--select", "tag:gate")

    assert run.statuses["features_daily_equals_oracle"] == "fail"
    assert run.statuses["training_data_equals_oracle"] == "fail"
    assert run.statuses["training_data_sees_no_future"] == "fail"
    (row,) = oracle.training([label], [event[:3] for event in events], ALL_DAYS)
    known = sum(
        1
        for event in events
        if event[0] == "user1"
        and len(event) == 4
        and datetime(2024, 2, 11) <= event[2] < datetime(2024, 3, 12)
        and event[3] < label[2]
    )
    assert (
        "user_id user1, label at 2024-03-12 12:00:00 sees the snapshot of 2024-03-11, which knows "
        f"of 2024-03-14 06:00:00: event_count_30d is {row[5]} with what came at or after the "
        f"label, {known} without" in run.output
    )


def test_an_event_without_its_arrival_is_a_source_error(project: Project) -> None:
    project.write_events(
        [
            ("a", "x", "2024-03-01 12:00:00", "2024-03-01 12:00:01"),
            ("b", "x", "2024-03-01 12:00:00", ""),
        ]
    )

    run = project.build()

    assert run.statuses["stg_events_is_well_formed"] == "fail"
    assert run.statuses["features_daily"] == "skipped"
    assert "ts: 2024-03-01 12:00:00, ingested_at: missing or unreadable" in run.output


def test_an_arrival_with_an_offset_is_converted(project: Project) -> None:
    project.write_events([("a", "x", "2024-03-01 12:00:00", "2024-03-02T01:59:59+02:00")])

    _run(project)

    assert project.query("select min(day) from feature_store.features_daily") == [
        (date(2024, 3, 1),)
    ]


def test_without_the_column_nothing_of_it_is_in_the_sql(compiled: Mapping[str, str]) -> None:
    for word in ("ingested_at", "known_day", "covered_before"):
        assert word not in compiled["features_daily"] + compiled["stg_events"]
