"""The gate: what may go out, as a pure rule, and on a real project whatever happens to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from materializer.registry import GateTest
from materializer.warehouse.gate import changes, objections
from materializer.warehouse.records import BuiltDay, Verdict
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
    own_models,
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


def test_a_red_test_that_was_taken_out_of_the_project_still_speaks_of_this_build() -> None:
    gone = GateTest("test.p.gone.5d6c", "gone", (A,))
    objection = (
        "gone said fail (2 rows) and guards it no more; put the test back, or build the rows anew"
    )
    assert _of_a([ONE], [*_said(ONE), *_said(gone, "fail", 2)]) == [objection]


@pytest.mark.parametrize(("status", "sequence"), [("pass", 7), ("fail", 6)])
def test_a_test_that_was_taken_out_green_or_before_this_build_is_forgotten(
    status: str, sequence: int
) -> None:
    gone = GateTest("test.p.gone.5d6c", "gone", (A,))
    assert _of_a([ONE], [*_said(ONE), *_said(gone, status, a=sequence)]) == []


def test_a_test_whose_arguments_changed_is_the_same_test() -> None:
    old, new = (GateTest(f"test.p.one.{digest}", "one", (A,)) for digest in ("5d6c", "81aa"))
    assert _of_a([new], [*_said(old, "fail", 2), *_said(new)]) == []


def _built(day: str, content: str | None = "2:77") -> BuiltDay:
    at = datetime(2024, 3, 31, tzinfo=timezone.utc)
    return BuiltDay(date.fromisoformat(day), 7, 2, "checksum", content, None, at)


def test_days_that_hold_what_their_build_wrote_do_not_object() -> None:
    assert changes([_built("2024-03-01")], {date(2024, 3, 1): "2:77"}) == []


def test_days_that_differ_are_told_in_runs_of_at_most_five() -> None:
    days = [date(2024, 3, day) for day in (1, 2, 4, 6, 8, 10, 12, 13)]

    found = changes([_built(str(day)) for day in days], dict.fromkeys(days, "2:78"))

    assert len(found) == 6
    assert found[0] == (
        "the rows of 2024-03-01 to 2024-03-02 are not those that the build wrote (edited by "
        "hand?); run: dbt build --vars '{start_date: 2024-03-01, end_date: 2024-03-02}'"
    )
    assert found[4].startswith("the rows of 2024-03-10 are not those")
    assert found[5] == "and so on for 2 more days"


def test_a_day_whose_content_was_never_recorded_is_not_believed() -> None:
    assert changes([_built("2024-03-01", None)], {date(2024, 3, 1): "2:77"}) == [
        "the rows of 2024-03-01 were built by an older version, which did not record what it "
        "wrote; run: dbt build --vars '{start_date: 2024-03-01, end_date: 2024-03-01}'"
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

    done = store.do("publish").assert_code(3)

    assert len(_ledger(store)) > len(before)
    assert "spoke of an older build; run: dbt test" in done.err
    assert store.offline() == expected()


@pytest.mark.parametrize(
    ("column", "kind"),
    [pytest.param("event_type", "", id="no type"), pytest.param("kind", "x", id="no column")],
)
def test_tests_that_were_skipped_since_they_passed_hold_the_build_back(
    store: Store, column: str, kind: str
) -> None:
    before = _ledger(store)
    (store.project.folder / "events.csv").write_text(
        f"user_id,{column},ts\nuser1,{kind},2024-02-15 12:00:00\n"
    )
    run = store.project.build()
    assert run.statuses["features_daily_equals_oracle"] == "skipped"
    assert _ledger(store) == before

    done = store.do("publish").assert_code(3)

    test = "features_daily_equals_oracle"
    assert f"{test} said skipped; see: dbt test --select {test}" in done.err
    assert store.offline() == []


def test_a_build_of_which_one_gate_test_was_left_out_does_not_go_out(store: Store) -> None:
    write_inputs(store.project, [*history(), ("user3", "late", history()[0][2])])
    store.project.build("--exclude", "features_daily_is_unique").assert_done()

    done = store.do("publish").assert_code(3)

    assert done.err.startswith(
        "features_daily: not published: "
        "features_daily_is_unique spoke of an older build; run: dbt test\n"
    )
    assert store.offline() == []


def test_a_red_test_is_not_silenced_by_deleting_it(store: Store) -> None:
    own_models(store.project)
    # The table was not built on these events, and so the oracle objects.
    write_inputs(store.project, [*history(), ("user3", "late", history()[0][2])])
    assert store.project.dbt("test", "--select", "features_daily_equals_oracle").code != 0
    (store.project.folder / "dbt_project/tests/features_daily_equals_oracle.sql").unlink()
    store.project.dbt("parse").assert_done()

    done = store.do("publish").assert_code(3)

    assert "features_daily: not published: features_daily_equals_oracle said fail (" in done.err
    assert "guards it no more; put the test back, or build the rows anew" in done.err
    assert store.offline() == []


def test_an_empty_build_is_no_build(store: Store) -> None:
    before = _ledger(store), store.project.features()

    assert store.project.build("--empty").code != 0

    assert (_ledger(store), store.project.features()) == before


@pytest.mark.parametrize("was_published", [False, True])
def test_without_its_ledger_nothing_goes_out(store: Store, was_published: bool) -> None:
    if was_published:
        store.do("publish").assert_code(0)
    before = store.offline()
    store.query("update feature_store.features_daily set event_count_7d = 99")
    store.query("delete from feature_store.build_ledger")

    done = store.do("publish").assert_code(3)

    lost = "it was never built, or the ledger was deleted; run: dbt build --full-refresh"
    assert done.err == (
        f"features_daily: not published: {lost}\ntraining_data: not published: {lost}\n"
    )
    assert store.offline() == before == (expected() if was_published else [])


@pytest.mark.parametrize("record", ["build_ledger", "gate_verdicts", "warehouse"])
def test_without_a_record_table_nothing_goes_out(store: Store, record: str) -> None:
    store.query(f"drop table feature_store.{record}")

    done = store.do("publish").assert_code(1)

    assert done.err.startswith("the warehouse has no build records; run: dbt build\n")
    assert store.offline() == []
    assert store.table("training_data") == []


def test_records_of_an_older_version_do_not_go_out(store: Store) -> None:
    store.query("alter table feature_store.build_ledger drop column content")

    done = store.do("publish").assert_code(1)

    assert done.err == 2 * "the build records are those of an older version; run: dbt build\n"
    assert store.offline() == []


def test_rows_whose_content_was_never_recorded_do_not_go_out(store: Store) -> None:
    # What an older entry recorded does not stand in for the newest.
    ledger = "feature_store.build_ledger"
    store.query(f'insert into {ledger} select * replace (0 as "sequence") from {ledger}')
    store.query(f'update {ledger} set content = null where "sequence" > 0')

    done = store.do("publish").assert_code(3)
    unknown = "were built by an older version, which did not record what it wrote"
    command = "dbt build --vars '{start_date: 2024-02-15, end_date: 2024-03-30}'"
    assert done.err == (
        f"features_daily: not published: the rows of 2024-02-15 to 2024-03-30 {unknown}; "
        f"run: {command}\n"
        f"training_data: not published: its rows {unknown}; run: dbt build\n"
    )
    assert store.offline() == []


def test_without_the_newest_verdicts_the_older_ones_do_not_count(store: Store) -> None:
    write_inputs(store.project, [*history(), ("user3", "late", history()[0][2])])
    store.project.build().assert_done()
    verdicts = "feature_store.gate_verdicts"
    store.query(
        f'delete from {verdicts} where "sequence" = (select max("sequence") from {verdicts})'
    )

    done = store.do("publish").assert_code(3)

    assert "features_daily_equals_oracle spoke of an older build; run: dbt test" in done.err
    assert store.offline() == []


def test_without_the_newest_builds_of_the_ledger_nothing_goes_out(store: Store) -> None:
    store.do("publish").assert_code(0)
    newest_build = store.project.query('select max("sequence") from feature_store.build_ledger')
    write_inputs(store.project, [*history(), ("user3", "late", history()[0][2])])
    store.project.build().assert_done()
    store.query(f'delete from feature_store.build_ledger where "sequence" > {newest_build[0][0]}')

    done = store.do("publish").assert_code(3)

    assert "features_daily_equals_oracle spoke of an older build; run: dbt test" in done.err
    assert store.offline() == expected()


@pytest.mark.parametrize(
    ("edit", "days"),
    [
        pytest.param(
            "update {} set event_count_7d = event_count_7d + 1 "
            "where day = '2024-03-01' and user_id = 'user1'",
            ["2024-03-01"],
            id="one number",
        ),
        pytest.param(
            "update {} set available_at = available_at - interval 1 microsecond "
            "where day = '2024-02-29' and user_id = 'user1'",
            ["2024-02-29"],
            id="available a microsecond earlier",
        ),
        pytest.param(
            "delete from {} where day = '2024-03-30' and user_id = 'user1'",
            ["2024-03-30"],
            id="a row removed",
        ),
        pytest.param("delete from {} where day = '2024-02-15'", ["2024-02-15"], id="a day removed"),
        pytest.param(
            "insert into {} select * from {} where day = '2024-03-01' and user_id = 'user1'",
            ["2024-03-01"],
            id="a row doubled",
        ),
        pytest.param(
            "update {} set user_id = case user_id when 'user1' then 'user2' else 'user1' end "
            "where user_id in ('user1', 'user2') and day = '2024-03-01'",
            ["2024-03-01"],
            id="two users swapped",
        ),
        pytest.param(
            "update {} set day = '2024-03-03' where day = '2024-03-01'",
            ["2024-03-01", "2024-03-03"],
            id="a day moved",
        ),
    ],
)
def test_rows_that_were_edited_after_their_tests_do_not_go_out(
    store: Store, edit: str, days: list[str]
) -> None:
    store.query(edit.replace("{}", "feature_store.features_daily"))

    done = store.do("run").assert_code(3)

    told = [
        f"the rows of {day} are not those that the build wrote (edited by hand?); run: "
        f"dbt build --vars '{{start_date: {day}, end_date: {day}}}'"
        for day in days
    ]
    assert done.err.splitlines()[:2] == [
        f"features_daily: not published: {'; '.join(told)}",
        "training_data: not published: it was built on features_daily, which was not published",
    ]
    assert store.offline() == []
    assert store.online() == {}


def test_an_edited_day_goes_out_once_it_is_built_again(store: Store) -> None:
    store.query("update feature_store.features_daily set event_count_7d = 99")
    store.do("publish").assert_code(3)

    store.project.build(start_date="2024-02-15", end_date="2024-03-30").assert_done()

    store.do("publish").assert_code(0)
    assert store.offline() == expected()


@pytest.mark.parametrize(
    "edit",
    [
        "update {} set label = 1 - label where user_id = 'user1'",
        "update {} set event_count_7d = event_count_7d + 1 where user_id = 'user1'",
        "delete from {} where user_id = 'nobody'",
        "insert into {} select * from {}",
    ],
)
def test_a_training_set_that_was_edited_after_its_tests_does_not_go_out(
    store: Store, edit: str
) -> None:
    store.query(edit.replace("{}", "feature_store.training_data"))

    done = store.do("publish").assert_code(3)

    assert done.err == (
        "training_data: not published: its rows are not those that the build wrote (edited by "
        "hand?); run: dbt build\n"
    )
    assert store.table("training_data") == []
    assert not (store.home / "training").exists()
    assert store.offline() == expected()


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
