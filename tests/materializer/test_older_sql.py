"""A model that changed: days that its older SQL built are named as such."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.dbt import Project
from tests.support.store import Store, build_days, copy, history, own_models, write_inputs

KNOWS = """      - knows_no_future:
          name: features_daily_knows_no_future
          arguments: {entity: [user_id], inputs: {stg_events: ts}}
          config: {tags: [gate]}
"""


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _shorten_window(models: Path) -> None:
    """Count the events of 3 days as those of 7, in the model and in its oracle."""
    _change(models / "models" / "features" / "features_daily.sql", "'days': 7", "'days': 3")
    _change(models / "tests" / "features_daily_equals_oracle.sql", ", -7)", ", -3)")
    _change(models / "tests" / "training_data_equals_oracle.sql", ", -7)", ", -3)")


def _run(store: Store) -> list[str]:
    (group,) = store.do("status", "--json").document["groups"]
    commands: list[str] = group["run"]
    return commands


@pytest.fixture
def store(built: Project, redis_url: str, tmp_path: Path) -> Store:
    """Give a store whose group has both kinds of test that build its rows again."""
    project = copy(built, tmp_path / "store")
    listed = own_models(project) / "models" / "features" / "features_daily.yml"
    _change(listed, "    data_tests:\n", f"    data_tests:\n{KNOWS}")
    return Store(project, redis_url)


def test_a_changed_window_leaves_days_of_older_sql_from_the_same_night_on(store: Store) -> None:
    project = store.project
    _shorten_window(project.folder / "dbt_project")

    project.build()
    assert [line.split("# ")[1] for line in _run(store)] == ["built by older SQL"]

    project.now = "2024-04-01T00:00:00Z"
    write_inputs(project, [*history(), ("user0", "x", datetime(2024, 3, 31, 12))])
    run = project.build()
    # Its own SQL built the newest day alone; the oracle compares the others too.
    assert run.statuses["features_daily_knows_no_future"] == "pass"
    again = build_days("2024-02-15", "2024-03-30")
    assert f"built by older SQL and are not built again here; run: {again}" in run.output
    (told,) = {
        line.split("or the times differ")[1] for line in run.output.splitlines() if "differ" in line
    }
    assert told == f"; the day was built by older SQL; run: {again}"

    first, last = {"start_date": "2024-02-15"}, {"end_date": "2024-03-30"}
    project.build(**first, **last).assert_done()
    assert _run(store) == []


@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_day_that_never_passed_is_not_published_because_nothing_builds_it_again(
    built: Project, redis_url: str, tmp_path: Path, is_frozen: bool
) -> None:
    project = copy(built, tmp_path / "store")
    store = Store(project, redis_url)
    # A green gate of another day's build does not count for these.
    store.query("delete from feature_store.gate_passes")
    if is_frozen:
        project.now = "2024-04-01T00:00:00Z"
        kept = [event for event in history() if event[2] >= datetime(2024, 3, 30)]
        write_inputs(project, [*kept, ("user0", "x", datetime(2024, 3, 31, 12))])
        reason = (
            "never passed the gate, and their events are no longer kept; restore the events, or "
            "build what is left: "
        )
    else:
        models = own_models(project)
        path = models / "models" / "features" / "features_daily.sql"
        path.write_text(path.read_text() + "-- in other words\n")
        reason = "were built by older SQL and never passed the gate; run: "
    project.build()

    refused = store.do("publish", "--group", "features_daily").assert_code(3).err

    assert refused.startswith("features_daily: not published: the days 2024-02-15 to 2024-03-")
    assert reason in refused
    again = re.search(r"(dbt build --vars '.*?')", refused)
    assert again is not None
    dates = re.findall(r"\d{4}-\d\d-\d\d", again[1])
    project.build(start_date=dates[0], end_date=dates[1])
    store.do("publish", "--group", "features_daily").assert_code(0)
