"""The gate on a real project, whatever happens to it."""

import re
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.support.dbt import Project
from tests.support.store import (
    ALL_DAYS,
    GIVEN,
    LABELS,
    Store,
    build_days,
    copy,
    expected,
    history,
    newest,
    own_models,
    wait_until,
    write_inputs,
)

LATE = [*history(), ("user3", "late", history()[0][2])]


def _ledger(store: Store) -> list[tuple[object, ...]]:
    return store.project.query('select * from feature_store.build_ledger order by "sequence", day')


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
    write_inputs(store.project, LATE)
    store.project.dbt("run").assert_done()

    done = store.do("publish").assert_code(3)
    assert "features_daily_equals_oracle last ran on an older build; run: dbt test" in done.err
    assert store.offline() == expected()

    # `dbt test` alone records verdicts too.
    store.project.dbt("test", "--exclude-resource-type", "unit_test").assert_done()
    store.do("publish").assert_code(0)
    assert store.offline() == expected(LATE)


def test_a_build_killed_before_its_verdict_does_not_go_out(store: Store) -> None:
    store.do("publish").assert_code(0)
    write_inputs(store.project, LATE)
    before = _ledger(store)
    output = store.project.folder / "output.txt"
    output.write_text("")
    process = store.project.start("build", "--exclude-resource-type", "unit_test")
    wait_until(lambda: "OK created sql incremental model" in output.read_text())
    process.kill()

    done = store.do("publish").assert_code(3)

    assert len(_ledger(store)) > len(before)
    assert "last ran on an older build; run: dbt test" in done.err
    assert store.offline() == expected()


@pytest.mark.parametrize(
    ("column", "kind", "because"),
    [
        pytest.param("event_type", "", "stg_events_is_well_formed failed (1 row)", id="no type"),
        pytest.param("kind", "x", "stg_events had an error", id="no column"),
    ],
)
def test_tests_that_were_skipped_since_they_passed_hold_the_build_back(
    store: Store, column: str, kind: str, because: str
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
    assert (
        f"{test} was skipped, because {because}; mend that and run: dbt build {GIVEN}" in done.err
    )
    assert store.offline() == []


def test_a_build_of_which_one_gate_test_was_left_out_does_not_go_out(store: Store) -> None:
    write_inputs(store.project, LATE)
    store.project.build("--exclude", "features_daily_is_unique").assert_done()

    done = store.do("publish").assert_code(3)

    assert done.err.startswith(
        "features_daily: not published: "
        f"features_daily_is_unique last ran on an older build; run: dbt test {GIVEN}\n"
    )
    assert store.offline() == []


def test_a_red_test_is_not_silenced_by_deleting_it(store: Store) -> None:
    own_models(store.project)
    # The table was not built on these events, and so the oracle objects.
    write_inputs(store.project, LATE)
    assert store.project.dbt("test", "--select", "features_daily_equals_oracle").code != 0
    (store.project.folder / "dbt_project/tests/features_daily_equals_oracle.sql").unlink()

    # As long as dbt has not recorded that it is gone, it counts as before.
    store.project.dbt("parse").assert_done()
    done = store.do("publish").assert_code(3)
    assert "features_daily: not published: features_daily_equals_oracle failed (" in done.err
    assert "; see: dbt test --select features_daily_equals_oracle" in done.err

    store.project.dbt("compile").assert_done()
    done = store.do("publish").assert_code(3)
    assert "features_daily_equals_oracle failed on this build (" in done.err
    assert "and was then removed; restore the test, or if it was wrong, run: dbt build" in done.err
    assert (
        "--select features_daily --vars '{start_date: 2024-03-30, end_date: 2024-03-30" in done.err
    )
    assert store.offline() == []


@pytest.mark.parametrize(
    ("models", "test"),
    [("features_daily", "features_daily_is_unique"), ("training_data", "its gate")],
)
def test_what_dbt_never_recorded_has_no_verdict(store: Store, models: str, test: str) -> None:
    # As when the manifest is newer than every command that opened the warehouse.
    store.query(f"delete from feature_store.gate_tests where name like '{models}%'")
    if test == "its gate":
        _untag(store, models)

    done = store.do("publish").assert_code(3)

    refusal = next(line for line in done.err.splitlines() if line.startswith(models))
    assert f"{test} has no verdict; run: dbt test" in refusal


def _untag(store: Store, model: str) -> None:
    """Take every gate test of a model out of the manifest."""
    with store.manifest() as body:
        for node in body["nodes"].values():
            if node["resource_type"] == "test" and node["name"].startswith(model):
                node["tags"] = []


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

    lost = f"it was never built, or the ledger was deleted; run: dbt build --full-refresh {GIVEN}"
    assert done.err == (
        f"features_daily: not published: {lost}\ntraining_data: not published: {lost}\n"
    )
    assert store.offline() == before == (expected() if was_published else [])


@pytest.mark.parametrize("record", ["build_ledger", "gate_tests", "gate_verdicts", "warehouse"])
def test_without_a_record_table_nothing_goes_out(store: Store, record: str) -> None:
    store.query(f"drop table feature_store.{record}")

    done = store.do("publish").assert_code(1)

    assert done.err.startswith("the warehouse has no build records; run: dbt build\n")
    assert "features_daily" not in done.out
    assert store.offline() == []
    assert store.table("training_data") == []


def test_days_that_were_edited_are_named_in_at_most_five_ranges(store: Store) -> None:
    days = "(1, 2, 4, 6, 8, 10, 12, 13)"
    store.query(
        "update feature_store.features_daily set event_count_7d = 99 "
        f"where month(day) = 3 and day(day) in {days}"
    )

    reasons = store.do("publish").assert_code(3).err.splitlines()[0].split("; the rows of ")

    assert reasons[0] == (
        "features_daily: not published: the rows of 2024-03-01 to 2024-03-02 are not those that "
        f"the build wrote (edited by hand?); run: {build_days('2024-03-01', '2024-03-02')}"
    )
    assert [reason[:10] for reason in reasons[1:]] == [
        f"2024-03-{day}" for day in ("04", "06", "08", "10")
    ]
    assert reasons[-1].endswith("; and so on for 2 more days")


def test_without_the_newest_verdicts_the_older_ones_do_not_count(store: Store) -> None:
    write_inputs(store.project, LATE)
    store.project.build().assert_done()
    verdicts = "feature_store.gate_verdicts"
    store.query(
        f'delete from {verdicts} where "sequence" = (select max("sequence") from {verdicts})'
    )

    done = store.do("publish").assert_code(3)

    assert "features_daily_equals_oracle last ran on an older build; run: dbt test" in done.err
    assert store.offline() == []


def test_without_the_newest_builds_of_the_ledger_nothing_goes_out(store: Store) -> None:
    store.do("publish").assert_code(0)
    newest_build = store.project.query('select max("sequence") from feature_store.build_ledger')
    write_inputs(store.project, LATE)
    store.project.build().assert_done()
    store.query(f'delete from feature_store.build_ledger where "sequence" > {newest_build[0][0]}')

    done = store.do("publish").assert_code(3)

    assert "features_daily_equals_oracle last ran on an older build; run: dbt test" in done.err
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
        f"{build_days(day, day)}"
        for day in days
    ]
    assert done.err.splitlines()[:2] == [
        f"features_daily: not published: {'; '.join(told)}",
        "training_data: not published: it was built on features_daily, which was not published",
    ]
    assert store.table("training_data") == []
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
        f"hand?); run: dbt build {GIVEN}\n"
    )
    assert store.table("training_data") == []
    assert not (store.home / "training").exists()
    assert store.offline() == expected()


def test_a_verdict_from_before_the_ledger_was_deleted_does_not_count_for_the_next_build(
    store: Store,
) -> None:
    store.do("publish").assert_code(0)
    store.query("delete from feature_store.build_ledger")
    write_inputs(store.project, LATE)
    # The numbers of the ledger begin anew, and are the same as those of the verdicts.
    store.project.dbt("run").assert_done()

    done = store.do("publish").assert_code(3)

    assert "features_daily_equals_oracle last ran on an older build; run: dbt test" in done.err
    assert store.offline() == expected()


def test_a_full_refresh_after_the_ledger_was_deleted_goes_out(store: Store) -> None:
    store.do("publish").assert_code(0)
    store.query("delete from feature_store.build_ledger")
    write_inputs(store.project, LATE)
    store.project.build("--full-refresh").assert_done()

    store.do("publish").assert_code(0)

    assert store.offline() == expected(LATE)


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
    assert "not published: training_data_sees_no_future failed (1 row)" in training
    assert "features_daily: not published: availability_lag_hours is -24" in done.err
    assert store.table("training_data") == []
    assert not (store.home / "training").exists()
    assert store.offline() == []


@pytest.mark.parametrize(
    ("at", "usable"),
    [
        (datetime(2024, 4, 3), "2024-04-03 00:00:00"),
        # The row of 30 March still holds, and is not the newest that there will be.
        (datetime(2024, 4, 1, 6), "2024-04-01 00:00:00"),
    ],
)
def test_a_red_training_set_does_not_hold_back_the_features(
    store: Store, at: datetime, usable: str
) -> None:
    late = [*history(), ("user3", "late", datetime(2024, 3, 1, 12))]
    write_inputs(store.project, late, [*LABELS, ("user1", 1.0, at)])
    run = store.project.build()
    assert run.statuses["training_data_is_covered"] == "fail"
    assert f"the label is usable from {usable} on" in run.output

    done = store.do("run").assert_code(3)

    assert done.err.startswith("training_data: not published: training_data_is_covered failed")
    assert store.table("training_data") == []
    assert store.offline() == expected(late)
    assert store.online() == newest(expected(late))


FIRST_RANGE = [day for day in ALL_DAYS if day >= date(2024, 3, 10)]


def test_a_partial_backfill_holds_back_the_training_set_and_not_the_features(
    backfilled: tuple[Project, str], redis_url: str, tmp_path: Path
) -> None:
    store = Store(copy(backfilled[0], tmp_path / "store"), redis_url)

    done = store.do("run").assert_code(3)

    assert done.err == (
        "training_data: not published: training_data_is_covered failed (1 row); "
        f"see: dbt test --select training_data_is_covered {GIVEN}\n"
    )
    assert store.offline() == expected(days=FIRST_RANGE)
    assert store.online() == newest(expected())


def test_the_command_that_a_partial_backfill_prints_turns_the_training_set_green(
    backfilled: tuple[Project, str], redis_url: str, tmp_path: Path
) -> None:
    project, output = backfilled
    said = re.search(r"user_id user2, label at 2024-03-05 09:30:00: .* run: (.*)", output)
    assert said is not None
    assert said[1] == build_days("2024-02-15", "2024-03-04")
    store = Store(copy(project, tmp_path / "store"), redis_url)

    store.shell(said[1]).assert_code(0)

    store.do("run").assert_code(0)
    days = [day for day in ALL_DAYS if day in FIRST_RANGE or day <= date(2024, 3, 4)]
    assert store.offline() == expected(days=days)
    assert sorted(store.table("training_data")) == sorted(store.project.training())
