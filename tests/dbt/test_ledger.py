"""The ledger is written with the data or not at all."""

from __future__ import annotations

from pathlib import Path

import duckdb

from tests.support.dbt import Project

LEDGER = "feature_store.build_ledger"


def test_a_build_that_the_ledger_refuses_changes_no_row(tmp_path: Path) -> None:
    project = Project(tmp_path, writes_artifacts=False)
    project.write_events([("a", "x", "2024-03-28 12:00:00"), ("a", "x", "2024-03-30 12:00:00")])
    project.write_labels([("a", 1.0, "2024-03-30 12:00:00")])
    project.dbt("run").assert_done()
    before = project.features()
    with duckdb.connect(str(project.warehouse)) as connection:
        connection.execute(f"create table kept as select * from {LEDGER}")
        connection.execute(f"drop table {LEDGER}")
        connection.execute(f"create table {LEDGER} as select * from kept")
        connection.execute(f'create unique index once_a_day on {LEDGER} ("day")')
    project.write_events([("a", "x", "2024-03-28 12:00:00"), ("a", "y", "2024-03-30 13:00:00")])

    run = project.dbt(
        "run", "--select", "features_daily", start_date="2024-03-30", end_date="2024-03-30"
    )

    assert run.statuses["features_daily"] == "error"
    assert "violates unique constraint" in run.output
    assert project.features() == before
