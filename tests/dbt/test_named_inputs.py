"""What a build reads is named, and stays named: no sample where a store of one's own was built."""

from __future__ import annotations

import re
import shlex
from datetime import date
from pathlib import Path

import pytest
import yaml

from tests.support.dbt import Project, Run
from tests.support.store import built_project, copy

# A path that a shell and YAML would each read otherwise than it is written.
ODD = 'it\'s "odd": #1 é🎈.csv'
EVENTS = [("a", "x", "2024-03-30 12:00:00")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, writes_artifacts=False)
    project.write_events(EVENTS)
    project.write_labels([("a", 1.0, "2024-03-30 12:00:00")])
    return project


def _without(project: Project, *names: str) -> None:
    for name in names:
        del project.variables[name]


def _refused(run: Run, message: str) -> None:
    assert run.code == 1
    # dbt breaks what it prints of an error into lines.
    assert message in " ".join(run.output.split())
    assert run.statuses == {}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return built_project(tmp_path_factory)


@pytest.mark.parametrize(
    "command",
    [
        ("build",),
        ("build", "--full-refresh"),
        ("run", "--select", "training_data"),
        ("test", "--select", "tag:gate"),
    ],
)
def test_an_input_that_is_not_named_any_more_is_refused(
    built: Project, tmp_path: Path, command: tuple[str, ...]
) -> None:
    project = copy(built, tmp_path / "store")
    before = project.features()
    for name in ("events_path", "labels_path"):
        path = project.variables[name]
        _without(project, name)
        _refused(
            project.dbt(*command),
            f'{name} is not set, and the last build read "{path}"; add --vars '
            f"'{{{name}: \"{path}\"}}'"
            f", or, to replace that by the sample, --vars '{{{name}: sample}}'",
        )
        project.variables[name] = path
    assert project.features() == before


def test_labels_of_the_sample_do_not_meet_own_events(project: Project) -> None:
    _without(project, "labels_path")
    _refused(project.build(), "labels_path is not set, and events_path is; name your files, or add")

    project.build(labels_path="none").assert_done()
    assert project.training() == []


def test_the_sample_is_read_in_a_demo_alone_or_by_its_name(project: Project) -> None:
    events = project.variables["events_path"]
    _without(project, "events_path", "labels_path")
    project.now = ""
    _refused(project.build(), "events_path is not set; name your files: --vars '{events_path:")
    project.dbt("build", "--select", "+stg_events", events_path="sample", labels_path="none")
    assert project.query("select count(*) from feature_store.stg_events") == [(30000,)]

    project.now = "2024-03-31T00:00:00Z"
    project.dbt("seed").assert_done()
    project.dbt("run", "--select", "stg_labels").assert_done()
    assert project.query("select count(*) from feature_store.stg_labels") == [(2000,)]
    assert "labels_path is not set, and events_path is" in project.build(events_path=events).output


def test_files_that_moved_are_read_and_announced(project: Project) -> None:
    project.build().assert_done()
    (project.folder / "events.csv").rename(project.folder / ODD)

    run = project.build(events_path=[ODD]).assert_done()

    named = '"it\'s \\"odd\\": #1 é🎈.csv"'
    assert f'events_path: [{named}], where the last build read "events.csv"' in run.output
    assert "every finished day is built and no event changed" in run.output


def test_a_command_that_a_test_prints_is_whole(project: Project) -> None:
    project.write_events([*EVENTS, ("a", "x", "2024-04-02 12:00:00")])
    (project.folder / "events.csv").rename(project.folder / ODD)
    project.variables["events_path"] = [ODD]
    project.write_labels([("a", 1.0, "2024-03-31 12:00:00")])
    project.now = "2024-04-03T00:00:00Z"

    run = project.build(gate_sample_share=0.5, start_date="2024-04-01", end_date="2024-04-02")

    (printed,) = re.findall(r"days are missing; run: (.+)", run.output)

    dbt, build, option, variables = shlex.split(printed)
    assert (dbt, build, option) == ("dbt", "build", "--vars")
    assert yaml.safe_load(variables) == {
        **project.variables,
        "gate_sample_share": 0.5,
        "start_date": date(2024, 3, 30),
        "end_date": date(2024, 3, 30),
    }
