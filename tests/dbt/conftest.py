"""One compile of the project, for the tests that run its SQL as it stands."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.dbt import Project

# The SQL that dbt sends for each model, by model name.
Compiled = Mapping[str, str]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Compile the project on events with one clock."""
    project = Project(tmp_path_factory.mktemp("compiled"))
    project.write_events([])
    project.write_labels([])
    return _compile(project)


@pytest.fixture(scope="session")
def compiled_late(tmp_path_factory: pytest.TempPathFactory) -> Callable[[timedelta], Compiled]:
    """Compile the project on events that tell their arrival; the SQL then holds the lag."""
    project = Project(tmp_path_factory.mktemp("compiled_late"))
    project.write_events([("a", "x", "2024-01-01 00:00:00", "2024-01-01 00:00:00")])
    project.write_labels([])
    project.dbt("run", "--select", "stg_events").assert_done()
    made: dict[timedelta, Compiled] = {}

    def compile_with(lag: timedelta) -> Compiled:
        if lag not in made:
            made[lag] = _compile(project, availability_lag_hours=lag // timedelta(hours=1))
        return made[lag]

    return compile_with


def _compile(project: Project, **variables: object) -> Compiled:
    project.dbt("compile", **variables).assert_done()
    folder = Path(project.target / "compiled" / "feature_store" / "dbt_project" / "models")
    return {path.stem: path.read_text() for path in folder.rglob("*.sql")}
