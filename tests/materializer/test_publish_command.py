"""`materializer publish`: the removal guard, the training set's files, and what it refuses."""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from materializer.offline.catalog import table_name
from tests.support import oracle
from tests.support.dbt import ROOT, Project
from tests.support.store import (
    ALL_DAYS,
    LABELS,
    MODEL,
    USERS,
    Store,
    copy,
    expected,
    history,
    newest,
    snapshot_id,
    write_inputs,
)


def _parquet(store: Store) -> Path:
    return store.home / "training" / "training_data.parquet"


def facts_of(store: Store) -> Any:
    return json.loads(store.receipt().read_text())


def types(**columns: str) -> list[dict[str, str]]:
    """Return columns as a receipt has them."""
    return [{"name": name, "type": kind} for name, kind in columns.items()]


def test_a_publish_keeps_which_days_are_built_where_a_closing_row_rests_on_them(
    published: Store,
) -> None:
    with published.catalog() as catalog:
        snapshot = catalog.load_table(table_name("features_daily")).current_snapshot()

    summary = snapshot and snapshot.summary
    assert summary
    assert summary["feature-store.built-days"] == f"{ALL_DAYS[0]} to {ALL_DAYS[-1]}"


LATER = [*history(), ("user3", "late", datetime(2024, 3, 29, 12))]
HALF = [event for event in history() if event[0] in USERS[:4]]


def _build_again(
    built: Project, folder: Path, events: Sequence[oracle.Event], labels: Sequence[oracle.Label]
) -> Project:
    project = copy(built, folder / "project")
    write_inputs(project, events, labels)
    project.build().assert_done()
    return project


def _publish_and_replace(store: Store, project: Project) -> Store:
    """Publish and push a store, and put the later warehouse of its project in place."""
    store.do("run").assert_code(0)
    store.replace_warehouse(project)
    return store


@pytest.fixture(scope="module")
def with_later(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the project with one more event, and its labels in another order."""
    return _build_again(built, tmp_path_factory.mktemp("later"), LATER, LABELS[::-1])


@pytest.fixture
def rebuilt(store: Store, with_later: Project) -> Store:
    """Give a store that was published and pushed, and built again after an event came late."""
    return _publish_and_replace(store, with_later)


@pytest.fixture(scope="module")
def without_half(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the project after its events lost half of the users."""
    return _build_again(built, tmp_path_factory.mktemp("half"), HALF, LABELS)


@pytest.fixture
def truncated(store: Store, without_half: Project) -> Store:
    """Give a store whose events lost half of the users after it was published and pushed."""
    return _publish_and_replace(store, without_half)


def test_a_second_publish_has_nothing_to_do(store: Store) -> None:
    store.do("publish").assert_code(0)
    before = snapshot_id(store, "features_daily"), snapshot_id(store, "training_data")

    done = store.do("publish").assert_code(0)

    assert done.out == "published features_daily: up to date\npublished training_data: up to date\n"
    assert (snapshot_id(store, "features_daily"), snapshot_id(store, "training_data")) == before


def test_only_the_days_that_were_build_again_are_published(rebuilt: Store) -> None:
    done = rebuilt.do("publish", "--json").assert_code(0)

    # The event of the 29th is seen by the 29th and by the 30th.
    step = done.document["steps"][0]
    assert (step["model"], step["days"], step["rows"]) == ("features_daily", 2, 16)
    assert rebuilt.offline() == expected(LATER)


def test_only_the_named_group_is_published(store: Store) -> None:
    store.do("publish", "--group", "features_daily").assert_code(0)

    assert store.offline() == expected()
    assert store.table("training_data") == []


def test_an_input_that_lost_half_of_its_users_is_not_published(truncated: Store) -> None:
    before = snapshot_id(truncated, "features_daily")

    done = truncated.do("run").assert_code(3)

    assert "features_daily: not published: it would remove 4 of 8 rows of 2024-02-15" in done.err
    assert "If it is intended: --allow-removals" in done.err
    assert snapshot_id(truncated, "features_daily") == before
    assert truncated.offline() == expected()
    assert truncated.online() == newest(expected())


def test_a_removal_that_is_meant_is_published(truncated: Store) -> None:
    truncated.do("run", "--allow-removals").assert_code(0)

    assert truncated.offline() == expected(HALF)
    assert truncated.online() == newest(expected(HALF))


def test_table_and_file_of_a_training_set_are_what_was_built(
    store: Store,
) -> None:
    store.do("publish").assert_code(0)

    training = sorted(store.project.training())
    assert training == sorted(oracle.training(LABELS, history(), ALL_DAYS))
    assert sorted(store.table("training_data")) == training
    assert sorted(store.table("labels")) == sorted(LABELS)
    rows = [tuple(row.values()) for row in pq.read_table(_parquet(store)).to_pylist()]
    assert sorted(rows) == training


def test_the_receipt_says_what_the_file_is_and_where_it_came_from(store: Store) -> None:
    done = store.do("publish", "--json").assert_code(0)

    facts = facts_of(store)
    manifest = store.project.target / "manifest.json"
    ((sequence, build_id, sql),) = store.project.query(
        """
        select "sequence", build_id, sql
        from feature_store.build_ledger
        inner join feature_store.built_sql using (model, model_checksum)
        where model like '%training_data'
        """
    )
    ((warehouse_id,),) = store.project.query("select warehouse_id from feature_store.warehouse")
    ((hashes,),) = store.project.query(
        "select sum(split_part(content, ':', 2)::hugeint)::varchar from feature_store.build_ledger "
        "where day is not null"
    )
    relation = '"warehouse"."feature_store".'
    key = types(user_id="string")
    labels = [*key, *types(label="double", as_of_ts="timestamp")]
    features = types(
        day="date",
        event_count_7d="int64",
        event_count_30d="int64",
        last_event_days_ago="int64",
        event_type_counts="string",
        available_at="timestamp",
        max_event_ts="timestamp",
    )
    assert facts == {
        "training_set": "training_data",
        "tag": facts["tag"],
        "parts": facts["parts"],
        "rows": len(LABELS),
        "hash": "md5",
        "checksum": facts["checksum"],
        "snapshot_id": snapshot_id(store, "training_data"),
        "store_id": facts["store_id"],
        "warehouse_id": warehouse_id,
        "ledger_sequence": sequence,
        "build_id": build_id,
        "duckdb": duckdb.__version__,
        "manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "git_sha": None,
        "parameter_version": None,
        "version": version("dbt-feature-store"),
        "written_at": store.project.now,
        "parquet": "training_data.parquet",
        "parquet_sha256": hashlib.sha256(_parquet(store).read_bytes()).hexdigest(),
        "vars": {
            "command": {"events_path": "events.csv", "labels_path": "labels.csv"},
            "project": yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"],
            "inputs": {"events_path": "events.csv", "labels_path": "labels.csv"},
        },
        "label_file": None,
        "inputs": [
            {
                "name": "labels",
                "snapshot_id": snapshot_id(store, "labels"),
                "relation": f'{relation}"stg_labels"',
                "model": None,
                "on": {},
                "hash": "md5",
                "checksum": facts["inputs"][0]["checksum"],
                "columns": labels,
                "built_days": [],
            },
            {
                "name": "features_daily",
                "snapshot_id": snapshot_id(store, "features_daily"),
                "relation": f'{relation}"features_daily"',
                "model": "model.feature_store.features_daily",
                "on": {},
                "hash": "duckdb",
                "checksum": f"{len(expected())}:{hashes}",
                "columns": [*key, *features],
                "built_days": ["2024-02-15 to 2024-03-30"],
            },
        ],
        "ledger_relation": f'{relation}"build_ledger"',
        "columns": [*labels, *features],
        "sql": sql,
    }
    assert re.fullmatch(rf"training_data-{sequence}-[0-9a-f]{{32}}", facts["tag"])
    kept = store.home / "training" / "receipts" / f"{facts['tag']}.json"
    assert kept.read_bytes() == store.receipt().read_bytes()
    step = done.document["steps"][1]
    assert step["parquet"] == str(_parquet(store))
    assert (step["receipt"], step["kept_receipt"]) == (str(store.receipt()), str(kept))


def test_the_receipt_names_the_commit_of_the_project_and_not_of_the_place_it_is_run_from(
    store: Store,
) -> None:
    git = "git -c user.name=a -c user.email=a@b -c init.defaultBranch=main"
    store.shell(f"git init -q; {git} commit -q --allow-empty -m first").assert_code(0)

    # This process works elsewhere.
    store.do("publish").assert_code(0)

    commit = store.shell("git rev-parse HEAD").out.strip()
    assert facts_of(store)["git_sha"] == commit


def test_the_checksum_of_a_receipt_is_that_of_the_rows_and_not_of_their_order(
    rebuilt: Store,
) -> None:
    first = facts_of(rebuilt)
    rebuilt.do("publish").assert_code(0)
    second = facts_of(rebuilt)

    assert second["checksum"] == first["checksum"]
    assert second["ledger_sequence"] > first["ledger_sequence"]


@pytest.mark.parametrize("lost", ["training_data.parquet", "training_data.receipt.json"])
def test_a_missing_file_of_the_training_set_is_written_again(store: Store, lost: str) -> None:
    store.do("publish").assert_code(0)
    (store.home / "training" / lost).unlink()

    store.do("publish").assert_code(0)

    facts = facts_of(store)
    assert facts["parquet_sha256"] == hashlib.sha256(_parquet(store).read_bytes()).hexdigest()
    assert facts["snapshot_id"] == snapshot_id(store, "training_data")


def test_files_that_a_killed_publish_left_old_are_written_again(truncated: Store) -> None:
    files = {path: path.read_bytes() for path in (_parquet(truncated), truncated.receipt())}
    truncated.do("publish", "--allow-removals").assert_code(0)
    written = truncated.receipt().read_bytes()
    # As a kill between the commit of the table and the two files leaves it.
    for path, content in files.items():
        path.write_bytes(content)
    assert truncated.receipt().read_bytes() != written

    truncated.do("publish").assert_code(0)

    facts = facts_of(truncated)
    assert facts["snapshot_id"] == snapshot_id(truncated, "training_data")
    assert facts["ledger_sequence"] == json.loads(written)["ledger_sequence"]


def test_a_contract_that_is_newer_than_the_build_is_one_line(store: Store) -> None:
    with store.manifest() as body:
        columns = body["nodes"][MODEL]["columns"]
        columns["clicks"] = {**columns["event_count_7d"], "name": "clicks"}

    done = store.do("publish").assert_code(1)

    first, second = done.err.splitlines()
    assert first.startswith(
        "the warehouse does not have what the manifest names; run: dbt build (Binder Error: "
    )
    assert "clicks" in first
    assert second.startswith("training_data: not published: ")


def test_a_changed_description_reaches_the_published_registry(store: Store) -> None:
    store.do("publish").assert_code(0)
    store.declare(MODEL, "feature_group", max_age_hours=99)

    store.do("publish").assert_code(0)

    assert _registry(store)["max_age_hours"] == 99
    assert store.offline() == expected()


def test_the_lag_that_the_rows_were_built_with_is_published_with_them(store: Store) -> None:
    # A var of that name overrides what the model declares.
    store.query("update feature_store.build_ledger set availability_lag_hours = 6")

    store.do("publish").assert_code(0)

    assert _registry(store)["availability_lag_hours"] == 6


def _registry(store: Store) -> Any:
    with store.catalog() as catalog:
        properties = catalog.load_table(table_name("features_daily")).properties
    return json.loads(properties["feature-store.registry"])
