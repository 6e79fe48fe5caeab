"""What dbt parses does not depend on what only a run reads, so that tests may share it."""

import json
from pathlib import Path
from typing import Any

from tests.support.dbt import RUN_VARS, Project

VARIABLES = {
    "availability_lag_hours": 6,
    "backfill_chunk_days": 3,
    "end_date": "2024-03-02",
    "gate_sample_share": 0.5,
    "healing_horizon_days": 7,
    "start_date": "2024-03-01",
}


def _parsed(project: Project, **variables: object) -> dict[str, Any]:
    project.dbt("parse", **variables).assert_done()
    manifest: dict[str, Any] = json.loads((project.target / "manifest.json").read_text())
    del manifest["metadata"]
    return {name: _without_origin(part) for name, part in manifest.items()}


def _without_origin(part: object) -> object:
    """Leave out when dbt parsed, and in which folder."""
    if isinstance(part, dict):
        kept = part.keys() - {"created_at", "root_path"}
        return {name: _without_origin(part[name]) for name in kept}
    return [_without_origin(item) for item in part] if isinstance(part, list) else part


def test_the_clock_and_the_vars_of_a_run_change_nothing_that_is_parsed(tmp_path: Path) -> None:
    project = Project(tmp_path / "store", parses=True)
    project.write_events([])
    project.write_labels([])
    before = _parsed(project)

    project.now = "2024-03-15T12:00:00Z"
    assert _parsed(project, **VARIABLES) == before
    assert VARIABLES.keys() == set(RUN_VARS)
