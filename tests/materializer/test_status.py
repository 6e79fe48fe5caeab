"""`materializer status` and `get`: how far each group has come, and one row of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from materializer.offline.catalog import open_catalog, spans_name
from tests.support.dbt import Project
from tests.support.server import Server
from tests.support.store import (
    ALL_DAYS,
    Store,
    copy,
    expected,
    held_warehouse,
    history,
    newest,
    own_models,
    write_inputs,
)

FRESH = {"day": "2024-03-30", "age_hours": 0.0, "problem": None}
NOTHING = {"day": None, "age_hours": None, "problem": None}


def _group(store: Store, *args: str, code: int = 0) -> Any:
    document = store.do("status", "--json", *args).assert_code(code).document
    assert document["now"] == store.project.now
    (group,) = document["groups"]
    return group


def test_a_group_that_has_come_all_the_way(published: Store) -> None:
    done = published.do("status").assert_code(0)

    assert done.out == (
        "features_daily\n"
        "  built      2024-03-30 (0.0 h old)\n"
        "  gate       green\n"
        "  published  2024-03-30 (0.0 h old)\n"
        "  pushed     2024-03-30 (0.0 h old)\n"
    )
    assert done.err == ""
    assert _group(published) == {
        "group": "features_daily",
        "gate": [],
        "waiting_days": 0,
        "run": [],
        "built": FRESH,
        "published": FRESH,
        "pushed": FRESH,
        "too_old": False,
    }


def test_a_group_that_was_only_built(store: Store) -> None:
    group = _group(store)
    assert (group["built"], group["published"], group["pushed"]) == (FRESH, NOTHING, NOTHING)


def test_built_days_that_wait_to_be_published_are_counted(store: Store) -> None:
    assert _group(store)["waiting_days"] == len(ALL_DAYS)
    assert "  waiting    45 built days are not published\n" in store.do("status").out


def test_a_group_that_was_published_and_not_pushed(store: Store) -> None:
    store.do("publish").assert_code(0)
    group = _group(store)
    assert (group["published"], group["pushed"]) == (FRESH, NOTHING)


def test_a_red_gate_is_told_with_its_tests(store: Store) -> None:
    store.query(
        "update feature_store.gate_verdicts set status = 'fail', failures = 2 "
        "where test like '%features_daily_is_unique%'"
    )

    test = "features_daily_is_unique"
    reason = f"{test} said fail (2 rows); see: dbt test --select {test}"
    assert _group(store)["gate"] == [reason]
    assert f"  gate       red\n    {reason}\n" in store.do("status").out


def test_nothing_built_yet_is_told_and_is_no_error(store: Store) -> None:
    store.project.warehouse.unlink()
    group = _group(store)
    assert group["built"]["problem"] == f"{store.project.warehouse} does not exist; run: dbt build"
    assert group["gate"] is None


def test_a_warehouse_that_a_build_holds_does_not_hide_the_other_stations(published: Store) -> None:
    with held_warehouse(published):
        done = published.do("status", "--json", "--wait", "0").assert_code(0)

    (group,) = done.document["groups"]
    assert "is locked by a running build" in group["built"]["problem"]
    assert group["gate"] is None
    assert (group["published"], group["pushed"]) == (FRESH, FRESH)


def test_a_server_that_is_away_is_told(published: Store) -> None:
    published.redis_url = "redis://127.0.0.1:1/0"
    group = _group(published)
    assert "is unavailable" in group["pushed"]["problem"]
    assert group["published"] == FRESH


def test_a_publish_that_did_not_end_is_told(store: Store) -> None:
    store.do("publish").assert_code(0)
    catalog = open_catalog(store.settings, environ={})
    catalog.drop_table(spans_name("features_daily"))
    catalog.close()

    assert _group(store)["published"]["problem"] == (
        "a publish did not end; run: materializer publish"
    )
    store.do("publish").assert_code(0)
    assert _group(store)["published"] == FRESH


def test_fresh_data_are_no_alarm(published: Store) -> None:
    published.project.now = "2024-04-01T02:00:00Z"
    assert _group(published, "--max-age", "26h")["pushed"]["age_hours"] == 26


def test_old_data_are_an_alarm_that_ends_with_1(published: Store) -> None:
    published.project.now = "2024-04-01T02:00:01Z"

    done = published.do("status", "--max-age", "26h").assert_code(1)

    assert done.err == "features_daily: pushed is older than 26 h: 2024-03-30 (26.0 h old)\n"
    assert _group(published, "--max-age", "26h", code=1)["too_old"] is True


@pytest.mark.parametrize(("age", "code"), [("0.5d", 0), ("12h", 0), ("719m", 1), ("43199s", 1)])
def test_an_age_has_a_unit(published: Store, age: str, code: int) -> None:
    published.project.now = "2024-03-31T12:00:00Z"
    published.do("status", "--max-age", age).assert_code(code)


def test_data_that_never_came_online_are_an_alarm(store: Store, valkey: Server) -> None:
    store.do("run").assert_code(0)
    valkey.client().flushall()
    done = store.do("status", "--max-age", "26h").assert_code(1)
    assert done.err == "features_daily: pushed is older than 26 h: nothing yet\n"


def test_days_since_the_last_build_are_told_as_a_command(store: Store) -> None:
    store.project.now = "2024-04-03T00:00:00Z"
    command = "dbt build --vars '{start_date: 2024-03-31, end_date: 2024-04-02}'"
    assert _group(store)["run"] == [f"{command}  # missing"]
    assert f"  run        {command}  # missing\n" in store.do("status").out


def test_each_gap_is_a_command_of_its_own(store: Store) -> None:
    store.query(
        "delete from feature_store.build_ledger "
        "where day in ('2024-03-01', '2024-03-02', '2024-03-09')"
    )
    assert _group(store)["run"] == [
        "dbt build --vars '{start_date: 2024-03-01, end_date: 2024-03-02}'  # missing",
        "dbt build --vars '{start_date: 2024-03-09, end_date: 2024-03-09}'  # missing",
    ]


def test_days_before_the_first_built_one_are_told_too(store: Store) -> None:
    store.query("delete from feature_store.build_ledger where day < '2024-03-01'")
    assert _group(store)["run"] == [
        "dbt build --vars '{start_date: 2024-02-15, end_date: 2024-02-29}'  # missing",
    ]


def test_an_age_counts_the_lag_that_the_rows_were_built_with(store: Store) -> None:
    store.query("update feature_store.build_ledger set availability_lag_hours = 6")
    store.project.now = "2024-03-31T10:00:00Z"
    assert _group(store)["built"]["age_hours"] == 4


def test_days_built_by_older_sql_are_told_as_a_command(
    built: Project, redis_url: str, tmp_path: Path
) -> None:
    project = copy(built, tmp_path / "store")
    sql = own_models(project) / "models" / "features" / "features_daily.sql"
    sql.write_text(sql.read_text() + "-- another way to say it\n")
    project.now = "2024-04-01T00:00:00Z"
    write_inputs(project, [*history(), ("user0", "x", history()[0][2].replace(month=3, day=31))])
    store = Store(project, redis_url)

    project.build().assert_done()

    assert _group(store)["run"] == [
        "dbt build --vars '{start_date: 2024-02-15, end_date: 2024-03-30}'  # built by older SQL"
    ]


def test_days_of_a_range_and_of_a_plain_build_are_built_by_the_same_sql(
    built: Project, backfilled: tuple[Project, str]
) -> None:
    sql = "select distinct model_checksum from feature_store.build_ledger where day is not null"
    assert len(built.query(sql)) == 1
    assert backfilled[0].query(sql) == built.query(sql)


def _files(store: Store) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.home.rglob("*") if path.is_file()}


def test_status_changes_nothing(published: Store) -> None:
    before = _files(published)
    published.do("status").assert_code(0)
    assert _files(published) == before


def test_get_prints_one_row(published: Store) -> None:
    names = (
        "day",
        "event_count_7d",
        "event_count_30d",
        "last_event_days_ago",
        "event_type_counts",
        "available_at",
    )
    row = dict(zip(names, newest(expected())["user1"], strict=True))

    done = published.do("get", "user1").assert_code(0)

    assert [line.split(None, 1) for line in done.out.splitlines()] == [
        [name, json.dumps(value)] for name, value in row.items()
    ]
    assert published.do("get", "user1", "--json").assert_code(0).document == {
        "group": "features_daily",
        "entity": {"user_id": "user1"},
        "row": row,
    }


def test_get_of_an_unknown_user_ends_with_1(published: Store) -> None:
    done = published.do("get", "nobody").assert_code(1)

    assert (done.out, done.err) == ("", "features_daily: no row for {'user_id': 'nobody'}\n")
    assert published.do("get", "nobody", "--json").assert_code(1).document["row"] is None


def test_get_before_the_first_push_says_what_to_run(store: Store) -> None:
    done = store.do("get", "user1").assert_code(4)
    assert done.err == ("materializer: features_daily was never pushed; run: materializer push\n")


def test_get_with_more_keys_than_any_group_has_is_a_usage_error(store: Store) -> None:
    done = store.do("get", "user1", "item1").assert_code(2)
    assert "0 online groups have a key of 2 part(s)" in done.err
