"""Events far from all others are named before anything is built, and nothing rests on them."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.dbt import Project

FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(90)]
HISTORY = [
    (f"user{n % 3}", "x", datetime(2024, 1, 1, 12) + timedelta(hours=2 * n)) for n in range(1080)
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, writes_artifacts=False)
    project.write_labels([("user0", 1.0, "2024-02-01 12:00:00")])
    return project


def _run(project: Project, **variables: object) -> None:
    project.dbt("run", "--select", "stg_events", "features_daily", **variables).assert_done()


@pytest.mark.parametrize(
    ("at", "named"),
    [
        ("1970-01-01 00:00:00", "1 rows of stg_events at ts 1970-01-01 00:00:00, far from all"),
        ("2022-06-01 00:00:00", "1 rows of stg_events at ts 2022-06-01 00:00:00, far from all"),
        ("2031-01-01 00:00:00", "1 rows of stg_events at ts 2031-01-01 00:00:00, far from all"),
        ("infinity", "ts: infinity): correct or drop it"),
        ("0044-03-15 12:00:00 BC", "ts: missing or unreadable): correct or drop it"),
        ("12024-01-01 00:00:00", "ts: 12024-01-01 00:00:00): correct or drop it"),
    ],
)
def test_an_event_far_from_all_others_is_named_before_anything_is_built(
    project: Project, at: str, named: str
) -> None:
    project.write_events([("far", "x", at), *((user, kind, str(ts)) for user, kind, ts in HISTORY)])
    run = project.build()
    assert named in run.output
    assert run.statuses["features_daily"] == "skipped"


def test_an_event_of_1970_neither_builds_days_nor_unfreezes_what_is_kept(project: Project) -> None:
    far = ("user0", "x", datetime(1970, 1, 1))
    project.write_history([far, *HISTORY])
    _run(project)
    before = project.features()
    assert before == oracle.features(HISTORY, DAYS)

    # The source forgets January, and the far event is still there.
    kept = [event for event in HISTORY if event[2] >= datetime(2024, 2, 1)]
    project.write_history([far, *kept])
    _run(project)

    assert project.features() == before


def test_days_that_a_far_event_made_go_once_it_is_said_to_be_wrong(project: Project) -> None:
    project.write_history([("user0", "x", datetime(2022, 6, 1, 12)), *HISTORY])
    _run(project, earliest_event="2022-06-01")
    assert date(2022, 7, 1) in {row[1] for row in project.features()}
    project.write_history(HISTORY)
    _run(project, earliest_event="2024-01-01")

    assert project.features() == oracle.features(HISTORY, DAYS)
    taken_away = "select count(*) from feature_store.day_status where is_removed"
    assert project.query(taken_away) == [((FIRST - date(2022, 6, 1)).days,)]
    project.dbt("test", "--select", "features_daily", earliest_event="2024-01-01").assert_done()
