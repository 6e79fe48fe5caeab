"""The whole build, unit tests included, is green whatever the public vars are."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.dbt import Project
from tests.support.store import built_project, copy

# Every var twice; the second build starts from the warehouse of the first.
SETTINGS: list[Mapping[str, object]] = [
    {
        "availability_lag_hours": 6,
        "backfill_chunk_days": 1,
        "gate_requires_witness": False,
        "gate_sample_share": 0.5,
        "healing_horizon_days": 1,
    },
    {
        "availability_lag_hours": 48,
        "backfill_chunk_days": 400,
        "end_date": "2024-03-02",
        "gate_requires_witness": True,
        "gate_sample_share": 1,
        "healing_horizon_days": 400,
        "start_date": "2024-03-01",
    },
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy(built_project(tmp_path_factory), tmp_path_factory.mktemp("vars") / "project")


@pytest.mark.parametrize("variables", SETTINGS, ids=["small", "large"])
def test_a_build_is_green_whatever_its_vars_are(
    project: Project, variables: Mapping[str, object]
) -> None:
    run = project.dbt("build", **variables).assert_done()
    assert set(run.statuses.values()) <= {"success", "pass"}
