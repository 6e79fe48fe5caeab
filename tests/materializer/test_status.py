"""`materializer status`: how far each group and training set has come, and what is in its way."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from materializer.offline.catalog import spans_name
from materializer.offline.publish import last_published
from materializer.offline.removals import least_losses
from materializer.training.receipt import read_receipt
from tests.support.dbt import Project
from tests.support.server import Server
from tests.support.store import (
    ALL_DAYS,
    GIVEN,
    MODEL,
    TRAINING,
    USERS,
    Store,
    build_days,
    copy,
    held_warehouse,
    history,
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


def _training(store: Store, *args: str) -> Any:
    (training_set,) = store.do("status", "--json", *args).assert_code(0).document["training_sets"]
    return training_set


def _seconds(moment: Any) -> str:
    return f"{moment.replace(microsecond=0).isoformat()}Z"


def _built_at(store: Store, model: str) -> datetime:
    (row,) = store.project.query(
        f"select max(built_at) from feature_store.build_ledger where model = '{model}'"
    )
    assert isinstance(row[0], datetime)
    return row[0]


def _published_at(store: Store, name: str) -> datetime:
    with store.catalog() as catalog:
        last = last_published(catalog, name)
    assert last is not None
    return last.published_at.replace(tzinfo=None)


def test_a_store_that_has_come_all_the_way(published: Store) -> None:
    done = published.do("status").assert_code(0)

    tag = read_receipt(published.receipt()).tag
    training = _built_at(published, TRAINING), _published_at(published, "training_data")
    assert done.out == (
        "features_daily\n"
        "  built      2024-03-30 (0.0 h old)\n"
        f"  last build 45 days whole build, at {_seconds(_built_at(published, MODEL))}\n"
        "  gate       green\n"
        "  published  2024-03-30 (0.0 h old)\n"
        "  pushed     2024-03-30 (0.0 h old)\n"
        "training_data\n"
        f"  built      4 rows, at {_seconds(training[0])}\n"
        "  gate       green\n"
        f"  published  4 rows, at {_seconds(training[1])}\n"
        f"  receipt    {tag}\n"
    )
    assert done.err == ""
    ((own,),) = published.project.query("select warehouse_id from feature_store.warehouse")
    warehouse = {"warehouse": own, "other_warehouse": None}
    assert _group(published) == {
        "group": "features_daily",
        "gate": [],
        "not_provable": [],
        "last_build": {
            "built_at": f"{_built_at(published, MODEL).isoformat()}Z",
            "days": {"whole build": len(ALL_DAYS)},
        },
        "frozen": [],
        "waiting_days": 0,
        "guard": [],
        "run": [],
        "built": FRESH,
        "published": FRESH,
        "pushed": FRESH,
        "too_old": False,
        **warehouse,
    }
    assert _training(published) == {
        "training_set": "training_data",
        "rows": 4,
        "built_at": f"{training[0].isoformat()}Z",
        "gate": [],
        "not_provable": [],
        "sample_share": 1.0,
        "published": f"4 rows, at {_seconds(training[1])}",
        "receipt": tag,
        "problem": None,
        **warehouse,
    }


def test_a_group_that_was_built_and_published_and_not_pushed(store: Store) -> None:
    group = _group(store)
    assert (group["built"], group["published"], group["pushed"]) == (FRESH, NOTHING, NOTHING)
    assert group["waiting_days"] == len(ALL_DAYS)
    assert "  waiting    45 built days are not published\n" in store.do("status").out

    store.do("publish").assert_code(0)

    group = _group(store)
    assert (group["published"], group["pushed"]) == (FRESH, NOTHING)


def test_a_red_gate_is_told_with_its_tests(store: Store) -> None:
    reasons = []
    for test in ("features_daily_is_unique", "training_data_is_covered"):
        store.query(
            "update feature_store.gate_verdicts set status = 'fail', failures = 2 "
            f"where test like '%{test}%'"
        )
        reasons.append(f"{test} failed (2 rows); see: dbt test --select {test} {GIVEN}")

    group, training, out = _group(store), _training(store), store.do("status").out
    assert (group["gate"], training["gate"]) == ([reasons[0]], [reasons[1]])
    assert (training["published"], training["receipt"]) == ("nothing yet", None)
    assert f"  gate       red\n    {reasons[0]}\n" in out
    assert f"  gate       red\n    {reasons[1]}\n  published  nothing yet\n" in out


def test_nothing_built_yet_is_told_and_is_no_error(store: Store) -> None:
    store.project.warehouse.unlink()

    problem = f"{store.project.warehouse} does not exist; run: dbt build"
    group, training = _group(store), _training(store)
    assert (group["built"]["problem"], group["gate"]) == (problem, None)
    assert (training["rows"], training["gate"], training["problem"]) == (None, None, problem)
    told = f"training_data\n  built      {problem}\n  published  nothing yet\n"
    assert told in store.do("status").out


def test_a_warehouse_that_a_build_holds_does_not_hide_the_other_stations(published: Store) -> None:
    with held_warehouse(published):
        done = published.do("status", "--json", "--wait", "0").assert_code(0)

    (group,) = done.document["groups"]
    assert "is locked by a running build" in group["built"]["problem"]
    assert group["gate"] is None
    assert (group["published"], group["pushed"]) == (FRESH, FRESH)
    # Nothing can be compared.
    assert group["guard"] == []


def test_a_server_that_is_away_is_told(published: Store) -> None:
    published.redis_url = "redis://127.0.0.1:1/0"
    group = _group(published)
    assert "is unavailable" in group["pushed"]["problem"]
    assert group["published"] == FRESH


def test_a_publish_that_did_not_end_is_told(store: Store) -> None:
    store.do("publish").assert_code(0)
    with store.catalog() as catalog:
        catalog.drop_table(spans_name("features_daily"))

    assert _group(store)["published"]["problem"] == (
        "the last publish was interrupted; run: materializer publish"
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
    command = build_days("2024-03-31", "2024-04-02")
    assert _group(store)["run"] == [f"{command}  # missing"]
    assert f"  run        {command}  # missing\n" in store.do("status").out


@pytest.mark.parametrize(
    ("lost", "ranges"),
    [
        (
            "in ('2024-03-01', '2024-03-02', '2024-03-09')",
            [("2024-03-01", "2024-03-02"), ("2024-03-09", "2024-03-09")],
        ),
        # Before the first built day.
        ("< '2024-03-01'", [("2024-02-15", "2024-02-29")]),
    ],
)
def test_each_gap_is_a_command_of_its_own(
    store: Store, lost: str, ranges: list[tuple[str, str]]
) -> None:
    store.query(f"delete from feature_store.build_ledger where day {lost}")

    assert _group(store)["run"] == [
        f"{build_days(first, last)}  # missing" for first, last in ranges
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
        f"{build_days('2024-02-15', '2024-03-30')}  # built by older SQL"
    ]


def test_days_of_a_range_and_of_a_plain_build_are_built_by_the_same_sql(
    built: Project, backfilled: tuple[Project, str]
) -> None:
    sql = "select distinct model_checksum from feature_store.build_ledger where day is not null"
    assert len(built.query(sql)) == 1
    assert backfilled[0].query(sql) == built.query(sql)


@pytest.fixture(scope="module")
def forgetful(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project that was built again after its source forgot its first days. Only copy it."""
    project = copy(built, tmp_path_factory.mktemp("forgetful") / "store")
    kept = [event for event in history() if event[2].date() >= date(2024, 2, 25)]
    late = [("user3", "late", datetime(2024, 3, day, 12)) for day in (29, 31)]
    project.now = "2024-04-01T00:00:00Z"
    write_inputs(project, [*kept, *late])
    project.build()
    return project


FROZEN = [{"first": "2024-02-15", "last": "2024-03-25", "days": 40}]


def test_frozen_days_and_what_the_last_build_made_are_told(
    forgetful: Project, redis_url: str
) -> None:
    store = Store(forgetful, redis_url)

    out = store.do("status").out
    assert (
        "  last build 2 days events changed, 1 day missing, "
        f"at {_seconds(_built_at(store, MODEL))}\n"
    ) in out
    assert (
        "  frozen     40 days, 2024-02-15 to 2024-03-25: their events are no longer kept\n" in out
    )
    group = _group(store)
    assert group["last_build"]["days"] == {"events changed": 2, "missing": 1}
    assert group["frozen"] == FROZEN


def test_a_window_that_is_given_by_its_place_keeps_frozen_days_out_of_the_command(
    forgetful: Project, redis_url: str, tmp_path: Path
) -> None:
    project = copy(forgetful, tmp_path / "store")
    listed = own_models(project) / "models" / "features" / "features_daily"
    for name, old, new in [
        (".yml", "window_days=31, files='events_path'", "31, 'events_path'"),
        (".sql", "-- One row per", "-- In other words, one row per"),
    ]:
        path = listed.with_suffix(name)
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    project.dbt("run").assert_done()

    group = _group(Store(project, redis_url))

    assert group["frozen"] == FROZEN
    assert group["run"] == [f"{build_days('2024-03-26', '2024-03-31')}  # built by older SQL"]


def test_days_that_are_only_stamped_anew_do_not_hide_that_they_are_frozen(
    forgetful: Project, redis_url: str, tmp_path: Path
) -> None:
    project = copy(forgetful, tmp_path / "store")
    project.dbt("run", "--select", "features_daily", availability_lag_hours=6).assert_done()

    store = Store(project, redis_url)
    group = _group(store)
    assert group["last_build"]["days"] == {"availability lag changed": 46}
    assert group["frozen"] == FROZEN


def _losses(published: dict[int, int], new: dict[int, int]) -> list[str]:
    return least_losses(
        {date(2024, 3, day): rows for day, rows in published.items()},
        {date(2024, 3, day): rows for day, rows in new.items()},
    )


def test_counts_foresee_what_the_guard_does_not_tolerate() -> None:
    published = dict.fromkeys([1, 2, 3, 4], 100)
    assert _losses(published, {1: 95, 2: 94, 3: 0, 5: 0}) == [
        "6 of 100 rows of 2024-03-02",
        "the whole of 2024-03-03 (100 rows)",
    ]


def test_of_many_losses_five_are_named() -> None:
    losses = _losses(dict.fromkeys(range(1, 9), 8), dict.fromkeys(range(1, 9), 0))
    assert losses[4:] == ["the whole of 2024-03-05 (8 rows)", "and so on for 3 more days"]


def test_the_guard_of_the_next_publish_is_foreseen(store: Store) -> None:
    store.do("publish").assert_code(0)
    write_inputs(store.project, [event for event in history() if event[0] in USERS[:4]])
    store.project.build().assert_done()

    done = store.do("status").assert_code(0)
    guard = _group(store)["guard"]
    refused = store.do("publish").assert_code(3)

    assert guard[0] == "4 of 8 rows of 2024-02-15"
    lost = "; ".join(guard)
    assert f"  guard      a publish would stop: it would remove at least {lost}\n" in done.out
    assert f"features_daily: not published: it would remove {lost}. " in refused.err


def test_days_that_another_warehouse_lacks_are_foreseen_as_lost(store: Store) -> None:
    store.do("publish").assert_code(0)
    store.query("update feature_store.warehouse set warehouse_id = 'another'")
    store.query("delete from feature_store.build_ledger where day = '2024-03-01'")

    assert _group(store)["guard"] == ["the whole of 2024-03-01 (8 rows)"]


def test_a_gate_that_looked_at_a_sample_says_its_share(store: Store) -> None:
    store.query(
        "update feature_store.gate_verdicts set sample_share = 0.1 "
        "where test like '%training_data_equals_oracle%'"
    )

    assert "  gate       green, on 10 % of the label rows\n" in store.do("status").out
    assert _training(store)["sample_share"] == 0.1


def test_a_training_set_that_was_built_again_waits(store: Store) -> None:
    store.do("publish").assert_code(0)
    assert "not published" not in _training(store)["published"]
    store.project.dbt("run", "--select", "training_data").assert_done()
    # A build that waited for the publish to end began before it.
    store.query("update feature_store.build_ledger set built_at = built_at - interval 1 day")

    assert _training(store)["published"].endswith("; the newest build is not published")


def test_a_training_set_of_a_ledger_that_began_anew_waits(store: Store) -> None:
    store.do("publish").assert_code(0)
    store.query("update feature_store.build_ledger set built_at = built_at + interval 1 day")

    assert _training(store)["published"].endswith("; the newest build is not published")


def test_one_group_is_shown_with_the_training_sets(store: Store) -> None:
    assert _group(store, "--group", "features_daily")["built"] == FRESH
    assert _training(store, "--group", "features_daily")["rows"] == 4


def _files(store: Store) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.home.rglob("*") if path.is_file()}


def test_status_changes_nothing(published: Store) -> None:
    before = _files(published)
    published.do("status").assert_code(0)
    assert _files(published) == before


def test_every_published_file_is_checked_and_a_damaged_one_is_named(store: Store) -> None:
    store.do("publish").assert_code(0)
    whole = store.do("status", "--check-files").assert_code(0).out
    # A file a day, and the spans; the labels are an input of the training set.
    assert f"  files      {len(ALL_DAYS) + 1} checked\n" in whole
    folder = store.home / "iceberg" / "data" / "feature_store" / "features_daily"
    files = sorted(folder.rglob("*.parquet"))
    files[3].write_bytes(files[3].read_bytes()[:-1] + b"2")
    files[5].unlink()

    done = store.do("status", "--check-files", "--json").assert_code(1)

    checked = done.document["groups"][0]["files"]
    assert checked["checked"] == len(ALL_DAYS) + 1
    damaged, gone = checked["damaged"]
    assert f"{files[3]} is unavailable: the file is damaged: " in damaged
    assert files[5].name in gone
    assert "files" not in store.do("status", "--json").assert_code(0).document["groups"][0]
