"""What a person sees of the gate: which tests run, what they say, what a sampled run looks at."""

import re
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from tests.support.dbt import Project, Run
from tests.support.store import build_days, built_project, copy, history

SAMPLED = {"features_daily_equals_oracle", "training_data_equals_oracle"}


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Project:
    return copy(built_project(tmp_path_factory), tmp_path / "store")


def _edit(project: Project, sql: str) -> None:
    with duckdb.connect(str(project.warehouse)) as connection:
        connection.execute(sql)


def _told(run: Run, test: str) -> list[str]:
    """List the lines that the end of a run prints below the name of a test."""
    lines = [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in run.output.splitlines()]
    start = next(n for n, line in enumerate(lines) if re.match(rf"(FAIL|WARN) {test} \(", line))
    told = []
    for line in lines[start + 1 :]:
        if not line.startswith("  "):
            break
        told.append(line.strip())
    return told


def test_the_tag_runs_the_gate_and_nothing_else(project: Project) -> None:
    run = project.dbt("test", "--select", "tag:gate")

    told = {row[0] for row in project.query("select test from feature_store.gate_verdicts")}
    ran = {name for name in run.statuses if "on-run-" not in name}
    assert ran == {str(test).split(".")[2] for test in told}
    assert len(ran) == 12


def test_a_leak_is_told_by_one_label_row_with_and_without_what_came_later(
    project: Project,
) -> None:
    run = project.build(availability_lag_hours=-24)

    label = datetime(2024, 3, 20, 12)
    mine = [event[2] for event in history() if event[0] == "user1"]
    with_it = [at for at in mine if datetime(2024, 2, 20) <= at < datetime(2024, 3, 21)]
    without = [at for at in with_it if at < label]
    assert len(without) == len(with_it) - 1
    assert _told(run, "training_data_sees_no_future") == [
        "user_id user1, label at 2024-03-20 12:00:00 sees the snapshot of 2024-03-20, which knows "
        f"of 2024-03-20 18:00:00: event_count_30d is {len(with_it)} with what came at or after the "
        f"label, {len(without)} without; a snapshot may be used from the end of its day on: is "
        "availability_lag_hours true?"
    ]


def test_twenty_problems_are_told_and_the_number_of_the_rest(project: Project) -> None:
    _edit(project, "update feature_store.features_daily set event_count_7d = event_count_7d + 1")

    run = project.dbt("test", "--select", "features_daily_equals_oracle")

    told = _told(run, "features_daily_equals_oracle")
    rows = len(project.features())
    assert len(told) == 21
    assert told[-1] == f"... and {rows - 20} more"
    assert all(
        re.match(r"user_id user\d, day 2024-\d\d-\d\d: .*; run: dbt build", t) for t in told[:20]
    )


def test_an_edited_day_is_named_although_its_events_are_no_longer_kept(project: Project) -> None:
    kept = [event for event in history() if event[2] >= datetime(2024, 3, 20)]
    project.write_history(kept)
    project.build("--exclude", "tag:gate").assert_done()
    _edit(
        project,
        "update feature_store.features_daily set event_count_7d = 99 "
        "where day = '2024-02-20' and user_id = 'user3'",
    )

    run = project.dbt("test", "--select", "features_daily")

    assert run.statuses["features_daily_equals_oracle"] == "pass"
    rows = project.query(
        "select count(*) from feature_store.features_daily where day = '2024-02-20'"
    )[0][0]
    assert _told(run, "features_daily_is_as_built") == [
        f"day 2024-02-20 has {rows} rows that are not the {rows} rows the build left: they were "
        f"changed behind dbt's back; run: {build_days('2024-02-20', '2024-02-20')}"
    ]


def test_a_sampled_run_looks_at_the_same_rows_again_and_records_its_share(
    project: Project,
) -> None:
    _edit(project, "update feature_store.features_daily set event_count_7d = event_count_7d + 1")
    whole = project.dbt("test", "--select", "features_daily_equals_oracle")

    runs = [project.dbt("test", "--select", "tag:gate", gate_sample_share=0.4) for _ in range(2)]

    rows = {
        int(re.findall(r"FAIL features_daily_equals_oracle \((\d+)\)", run.output)[0])
        for run in [*runs, whole]
    }
    assert len(rows) == 2
    assert min(rows) < max(rows) == len(project.features())
    assert "features_daily_equals_oracle: looked at a share of 0.4 of the keys" in runs[0].output
    recorded = project.query(
        "select distinct test, sample_share from feature_store.gate_verdicts "
        'where "sequence" = (select max("sequence") from feature_store.gate_verdicts)'
    )
    shares = {str(test).split(".")[2]: share for test, share in recorded}
    assert shares == {test: 0.4 if test in SAMPLED else 1.0 for test in shares}
    assert set(shares) >= SAMPLED


@pytest.mark.parametrize("share", [0, 1.5, "half", -0.1])
def test_a_share_that_is_none_is_refused(project: Project, share: object) -> None:
    project.parses = True

    run = project.dbt("test", "--select", "tag:gate", gate_sample_share=share)

    assert run.code == 1
    assert f"gate_sample_share: {share} is not a share above 0 and up to 1" in run.output
