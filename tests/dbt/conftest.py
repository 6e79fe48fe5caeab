"""One compile of the project, for the tests that run its SQL as it stands."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.dbt import Project


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The SQL that dbt sends for each model, by model name."""
    project = Project(tmp_path_factory.mktemp("compiled"))
    project.write_events([])
    project.write_labels([])
    project.dbt("compile").assert_done()
    folder = project.target / "compiled" / "feature_store" / "dbt_project" / "models"
    return {path.stem: path.read_text() for path in folder.rglob("*.sql")}
