"""A model that changed: days that its older SQL built are named as such."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.support.dbt import Project
from tests.support.store import Store, copy, history, own_models, write_inputs

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
    _change(models / "models" / "features" / "features_daily.sql", ", -7)", ", -3)")
    _change(models / "models" / "features" / "features_daily.sql", ", 7)", ", 3)")
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
    # Its own SQL built nothing but the newest day.
    assert run.statuses["features_daily_knows_no_future"] == "pass"
