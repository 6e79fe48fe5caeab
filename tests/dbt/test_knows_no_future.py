"""A test that knows nothing of a model finds what the model should not know: planted leaks."""

import random
import re
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.dbt import ROOT, Project, Run

# Model -> its SQL. Each gives one row a (user_id, day), usable from the end of the day on, unless
# that is the leak.
_GRID = """
with events as (select user_id, ts, cast(ts as date) as day from {{ ref('stg_events') }}),
grid as (select distinct user_id, day from events)
"""
HONEST = {
    "running_count": """
select grid.user_id, grid.day, count(*) as value, cast(grid.day + 1 as timestamp) as available_at
from grid inner join events on grid.user_id = events.user_id and events.day <= grid.day
group by grid.user_id, grid.day
""",
    "days_since_the_one_before": """
select user_id, day, day - lag(day) over (partition by user_id order by day) as value,
    cast(day + 1 as timestamp) as available_at
from grid
""",
}
LEAKING = {
    "window_reaches_ahead": """
select grid.user_id, grid.day, count(*) as value, cast(grid.day + 1 as timestamp) as available_at
from grid inner join events
    on grid.user_id = events.user_id and events.day between grid.day - 6 and grid.day + 1
group by grid.user_id, grid.day
""",
    "available_too_early": """
select user_id, day, count(*) as value, cast(day as timestamp) as available_at
from events group by user_id, day
""",
    "lead": """
select user_id, day, lead(day) over (partition by user_id order by day) - day as value,
    cast(day + 1 as timestamp) as available_at
from grid
""",
    "mean_of_the_whole_history": """
select user_id, day, count(*) over () / count(*) over (partition by user_id) as value,
    cast(day + 1 as timestamp) as available_at
from grid
""",
    "newest_value_of_the_user": """
select grid.user_id, grid.day, epoch(max(events.ts)) as value,
    cast(grid.day + 1 as timestamp) as available_at
from grid inner join events on grid.user_id = events.user_id
group by grid.user_id, grid.day
""",
    "rank_among_all_days": """
select user_id, day, row_number() over (partition by user_id order by day desc) as value,
    cast(day + 1 as timestamp) as available_at
from grid
""",
}
_MODEL = """
  - name: {name}
    config:
      materialized: table
      contract: {{enforced: true}}
      post_hook: ["{{{{ record_build(by_day=false) }}}}"]
    data_tests:
      - knows_no_future:
          name: {name}_knows_no_future
          arguments: {{entity: [user_id], inputs: {inputs}}}
    columns:
      - {{name: user_id, data_type: varchar}}
      - {{name: day, data_type: date}}
      - {{name: value, data_type: double}}
      - {{name: available_at, data_type: timestamp}}
"""


def _project(folder: Path, models: Mapping[str, str], inputs: str = "{stg_events: ts}") -> Project:
    folder.mkdir()
    shutil.copytree(ROOT / "dbt_project", folder / "dbt_project")
    project = Project(folder, writes_artifacts=False)
    room = folder / "dbt_project" / "models" / "features"
    for name, sql in models.items():
        text = f"select user_id, day, cast(value as double) as value, available_at from ({sql})"
        (room / f"{name}.sql").write_text(_GRID + text)
    listed = "".join(_MODEL.format(name=name, inputs=inputs) for name in models)
    (room / "planted.yml").write_text(f"models:\n{listed}")
    draw = random.Random(13)
    project.write_history(
        (f"user{draw.randrange(5)}", "x", datetime(2024, 1, 1) + timedelta(minutes=minutes))
        for minutes in sorted(draw.sample(range(60 * 24 * 60), 200))
    )
    project.write_labels([])
    return project


def _build(project: Project, models: Mapping[str, str]) -> Run:
    return project.dbt("build", "--select", "stg_events", *models, "--exclude", "test_type:unit")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    models = {**HONEST, **LEAKING}
    return _build(_project(tmp_path_factory.mktemp("planted") / "store", models), models)


@pytest.mark.parametrize("model", LEAKING)
def test_a_planted_leak_is_found_and_a_row_of_it_named(run: Run, model: str) -> None:
    assert run.statuses[f"{model}_knows_no_future"] == "fail"
    _, _, told = run.output.partition(f"FAIL {model}_knows_no_future (")
    assert re.search(
        r"^\d+\)\n\S+ +user_id user\d, usable from 2024-\S+ 00:00:00, comes out otherwise when the "
        r"inputs end at 2024-\S+ 00:00:00: it rests on what came later",
        told,
    )


@pytest.mark.parametrize("model", HONEST)
def test_a_model_that_knows_the_past_alone_passes(run: Run, model: str) -> None:
    assert run.statuses[f"{model}_knows_no_future"] == "pass"


def test_an_input_that_is_not_named_is_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    models = {"running_count": HONEST["running_count"]}
    run = _build(_project(tmp_path / "store", models, inputs="{}"), models)

    assert run.statuses["running_count_knows_no_future"] == "error"
    assert (
        "knows_no_future of running_count: inputs lacks stg_events; write the SQL of the time from "
        "which its rows are known; null if they have none; always if they never change"
        in run.output
    )


def test_a_group_without_its_gate_stops_the_command_and_is_told_what_to_paste(
    tmp_path: Path,
) -> None:
    models = {"running_count": HONEST["running_count"]}
    project = _project(tmp_path / "store", models)
    listed = project.folder / "dbt_project" / "models" / "features" / "planted.yml"
    listed.write_text(
        listed.read_text().replace(
            "      materialized: table\n",
            "      materialized: table\n      meta: {feature_group: {entity: [user_id]}}\n",
        )
    )

    run = _build(project, models)

    assert run.code == 1
    assert (
        "dbt_project/models/features/running_count.sql: model running_count: its gate lacks tests; "
        "add to the model:" in run.output
    )
    # dbt indents what it prints of an error.
    assert (
        "- feature_store.is_as_built: name: running_count_is_as_built config: {tags: [gate]}"
        in " ".join(run.output.split())
    )
    assert "inputs: {stg_events: <its time column>}" in run.output
    assert "running_count" not in run.statuses
