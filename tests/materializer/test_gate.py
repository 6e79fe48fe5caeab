"""The gate: what may go out, as a pure rule, and on a real project whatever happens to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import pytest

from materializer.gate import objections
from materializer.registry import GateTest
from materializer.warehouse import Verdict
from tests.support.dbt import Project
from tests.support.store import (
    ALL_DAYS,
    LABELS,
    Store,
    copy,
    expected,
    history,
    keep_inputs,
    newest,
    wait_until,
    write_inputs,
)

A, B, VIEW = "model.p.a", "model.p.b", "model.p.view"
ONE = GateTest("test.p.one", "one", (A,))
BOTH = GateTest("test.p.both", "both", (A, B))
WITH_VIEW = GateTest("test.p.with_view", "with_view", (VIEW, A))


def _said(
    test: GateTest, status: str = "pass", failures: int | None = 0, **sequences: int | None
) -> list[Verdict]:
    at = {A: sequences.get("a", 7), B: sequences.get("b", 7), VIEW: None}
    return [Verdict(test.unique_id, model, at[model], status, failures) for model in test.guards]


def _of_a(
    tests: list[GateTest], verdicts: list[Verdict], sequences: Mapping[str, int] | None = None
) -> list[str]:
    return objections(A, tests, verdicts, {A: 7, B: 7} if sequences is None else sequences)


@pytest.mark.parametrize("status", ["pass", "warn"])
def test_a_test_that_passed_or_only_warned_does_not_object(status: str) -> None:
    assert _of_a([ONE], _said(ONE, status, 3)) == []


@pytest.mark.parametrize(
    ("status", "failures", "objection"),
    [
        ("fail", 3, "one said fail (3 rows); see: dbt test --select one"),
        ("error", None, "one said error; see: dbt test --select one"),
        ("skipped", None, "one said skipped; see: dbt test --select one"),
        (
            "a word of a later dbt",
            None,
            "one said a word of a later dbt; see: dbt test --select one",
        ),
    ],
)
def test_a_test_that_said_anything_else_objects(
    status: str, failures: int | None, objection: str
) -> None:
    assert _of_a([ONE], _said(ONE, status, failures)) == [objection]


def test_a_test_that_never_ran_objects() -> None:
    assert _of_a([ONE], []) == ["one has no verdict; run: dbt test"]


@pytest.mark.parametrize("sequence", [6, 8, None])
def test_a_verdict_on_another_build_is_none(sequence: int | None) -> None:
    objection = "one spoke of an older build; run: dbt test"
    assert _of_a([ONE], _said(ONE, a=sequence)) == [objection]


def test_a_model_that_no_test_guards_does_not_go_out() -> None:
    other = GateTest("test.p.other", "other", (B,))
    objection = "no gate test guards it; add one with the tag gate"
    assert _of_a([other], _said(other)) == [objection]


def test_a_model_without_a_build_does_not_go_out() -> None:
    found = _of_a([ONE], _said(ONE), {B: 7})
    assert found == ["it was never built, or the ledger was deleted; run: dbt build --full-refresh"]


def test_a_test_that_guards_two_models_must_speak_of_both_as_they_are() -> None:
    sequences = {A: 7, B: 8}
    objection = "both spoke of an older build; run: dbt test"
    assert _of_a([BOTH], _said(BOTH), sequences) == [objection]
    assert objections(B, [BOTH], _said(BOTH), sequences) == [objection]
    assert _of_a([BOTH], _said(BOTH, b=8), sequences) == []


def test_a_test_that_spoke_of_one_of_its_two_models_only_objects() -> None:
    half = [verdict for verdict in _said(BOTH) if verdict.model == A]
    assert _of_a([BOTH], half) == ["both has no verdict; run: dbt test"]


def test_a_test_does_not_forget_a_build_that_the_ledger_lost() -> None:
    assert _of_a([BOTH], _said(BOTH), {A: 7}) == ["both spoke of an older build; run: dbt test"]


def test_a_view_has_no_builds_and_needs_none() -> None:
    assert _of_a([WITH_VIEW], _said(WITH_VIEW)) == []


def test_every_objecting_test_is_named_and_no_other() -> None:
    verdicts = [*_said(ONE, "fail", 1), *_said(WITH_VIEW), *_said(BOTH, "skipped", None)]
    assert _of_a([ONE, WITH_VIEW, BOTH], verdicts) == [
        "one said fail (1 row); see: dbt test --select one",
        "both said skipped; see: dbt test --select both",
    ]


def _ledger(store: Store) -> list[tuple[object, ...]]:
    return store.project.query('select * from feature_store.build_ledger order by "sequence", day')


def test_a_build_that_passed_goes_out(store: Store) -> None:
    store.do("publish").assert_code(0)

    assert store.offline() == store.project.features() == expected()


def test_a_build_without_tests_does_not_go_out(tmp_path: Path, redis_url: str) -> None:
    project = Project(tmp_path / "store")
    write_inputs(project, history())
    project.dbt("run").assert_done()
    store = Store(project, redis_url)

    done = store.do("run").assert_code(3)

    assert store.offline() == []
    assert store.online() == {}
    assert "features_daily: not published: " in done.err
    for test in ("is_unique", "events_are_well_formed", "newest_day_has_events", "equals_oracle"):
        assert f"features_daily_{test} has no verdict; run: dbt test" in done.err


def test_a_rebuild_after_the_tests_does_not_go_out_until_dbt_test_passes(store: Store) -> None:
    store.do("publish").assert_code(0)
    late = [*history(), ("user3", "late", history()[0][2])]
    write_inputs(store.project, late)
    store.project.dbt("run").assert_done()

    done = store.do("publish").assert_code(3)
    assert "features_daily_equals_oracle spoke of an older build; run: dbt test" in done.err
    assert store.offline() == expected()

    # `dbt test` alone records verdicts too.
    store.project.dbt("test", "--exclude-resource-type", "unit_test").assert_done()
    store.do("publish").assert_code(0)
    assert store.offline() == expected(late)


def test_a_build_killed_before_its_verdict_does_not_go_out(store: Store) -> None:
    store.do("publish").assert_code(0)
    write_inputs(store.project, [*history(), ("user3", "late", history()[0][2])])
    before = _ledger(store)
    output = store.project.folder / "output.txt"
    output.write_text("")
    process = store.project.start("build", "--exclude-resource-type", "unit_test")
    wait_until(lambda: "OK created sql incremental model" in output.read_text())
    process.kill()
    process.join()

    done = store.do("publish").assert_code(3)

    assert len(_ledger(store)) > len(before)
    assert "spoke of an older build; run: dbt test" in done.err
    assert store.offline() == expected()


def test_without_its_ledger_nothing_goes_out(store: Store) -> None:
    store.query("delete from feature_store.build_ledger")

    done = store.do("run").assert_code(3)

    assert (
        "features_daily: not published: it was never built, or the ledger was deleted" in done.err
    )
    assert "training_data: not published: it was never built" in done.err
    assert store.offline() == []


def test_a_verdict_from_before_the_ledger_was_deleted_does_not_count_for_the_next_build(
    store: Store,
) -> None:
    store.do("publish").assert_code(0)
    store.query("delete from feature_store.build_ledger")
    write_inputs(store.project, [*history(), ("user3", "late", history()[0][2])])
    # The numbers of the ledger begin anew, and are the same as those of the verdicts.
    store.project.dbt("run").assert_done()

    done = store.do("publish").assert_code(3)

    assert "features_daily_equals_oracle spoke of an older build; run: dbt test" in done.err
    assert store.offline() == expected()


def test_a_full_refresh_after_the_ledger_was_deleted_goes_out(store: Store) -> None:
    store.do("publish").assert_code(0)
    store.query("delete from feature_store.build_ledger")
    late = [*history(), ("user3", "late", history()[0][2])]
    write_inputs(store.project, late)
    store.project.build("--full-refresh").assert_done()

    store.do("publish").assert_code(0)

    assert store.offline() == expected(late)


def test_features_that_may_be_used_before_their_day_is_over_are_red_with_a_label_row_named(
    store: Store,
) -> None:
    run = store.project.build(availability_lag_hours=-24)

    assert run.code != 0
    assert (
        "user_id user1, label at 2024-03-20 12:00:00 sees the snapshot of 2024-03-20, "
        "which knows of 2024-03-20 18:00:00" in run.output
    )
    done = store.do("run").assert_code(3)
    training = next(line for line in done.err.splitlines() if line.startswith("training_data"))
    assert "not published: training_data_sees_no_future said fail (1 row)" in training
    assert "features_daily: not published: availability_lag_hours is -24" in done.err
    assert store.table("training_data") == []
    assert not (store.home / "training").exists()
    assert store.offline() == []


def test_a_red_training_set_does_not_hold_back_the_features(store: Store) -> None:
    late = [*history(), ("user3", "late", datetime(2024, 3, 1, 12))]
    write_inputs(store.project, late, [*LABELS, ("user1", 1.0, datetime(2024, 4, 3))])
    run = store.project.build()
    assert run.statuses["training_data_is_covered"] == "fail"
    assert "the label is usable from 2024-04-03 00:00:00 on" in run.output

    done = store.do("run").assert_code(3)

    assert done.err.startswith("training_data: not published: training_data_is_covered said fail")
    assert store.table("training_data") == []
    assert store.offline() == expected(late)
    assert store.online() == newest(expected(late))


def test_a_training_set_on_features_that_were_refused_is_refused_too(store: Store) -> None:
    store.query("delete from feature_store.gate_verdicts where test like '%features_daily%'")

    done = store.do("publish").assert_code(3)

    assert done.err.splitlines()[1] == (
        "training_data: not published: it was built on features_daily, which was not published"
    )
    assert store.table("training_data") == []


FIRST_RANGE = [day for day in ALL_DAYS if day >= date(2024, 3, 10)]


def test_a_partial_backfill_holds_back_the_training_set_and_not_the_features(
    backfilled: tuple[Project, str], redis_url: str, tmp_path: Path
) -> None:
    store = Store(copy(backfilled[0], tmp_path / "store"), redis_url)

    done = store.do("run").assert_code(3)

    assert done.err == (
        "training_data: not published: training_data_is_covered said fail (1 row); "
        "see: dbt test --select training_data_is_covered\n"
    )
    assert store.offline() == expected(days=FIRST_RANGE)
    assert store.online() == newest(expected())


def test_the_command_that_a_partial_backfill_prints_turns_the_training_set_green(
    backfilled: tuple[Project, str], redis_url: str, tmp_path: Path
) -> None:
    project, output = backfilled
    said = re.search(r"user_id user2, label at 2024-03-05 09:30:00: .* run: (.*)", output)
    assert said is not None
    assert said[1] == "dbt build --vars '{start_date: 2024-02-15, end_date: 2024-03-04}'"
    store = Store(copy(project, tmp_path / "store"), redis_url)
    keep_inputs(store.project)

    store.shell(said[1]).assert_code(0)

    store.do("run").assert_code(0)
    days = [day for day in ALL_DAYS if day in FIRST_RANGE or day <= date(2024, 3, 4)]
    assert store.offline() == expected(days=days)
    assert sorted(store.table("training_data")) == sorted(store.project.training())
