"""The registry: what dbt's manifest declares, and what it may not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from materializer.errors import BadRegistry, UsageError
from materializer.registry import Column, Contract, FeatureGroup, Registry, read_manifest
from tests.support.dbt import Project
from tests.support.store import MODEL, TRAINING

Manifest = dict[str, Any]
Read = Callable[[Callable[[Manifest], object]], Registry]


@pytest.fixture
def manifest(built: Project) -> Path:
    return built.target / "manifest.json"


@pytest.fixture
def registry(manifest: Path) -> Registry:
    return read_manifest(manifest)


@pytest.fixture
def changed(manifest: Path, tmp_path: Path) -> Read:
    """Read the manifest after a change to it."""

    def read(change: Callable[[Manifest], object]) -> Registry:
        body = json.loads(manifest.read_text())
        change(body)
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(body))
        return read_manifest(path)

    return read


def _meta(body: Manifest) -> dict[str, Any]:
    meta: dict[str, Any] = body["nodes"][MODEL]["config"]["meta"]["feature_group"]
    return meta


def test_a_model_with_the_meta_is_a_group(registry: Registry) -> None:
    assert dict(registry.groups) == {
        "features_daily": FeatureGroup(
            name="features_daily",
            unique_id=MODEL,
            relation_name='"warehouse"."feature_store"."features_daily"',
            description="One row per (user_id, day) with an event on the day or the 30 days "
            "before it.",
            entity=("user_id",),
            available_at="available_at",
            availability_lag_hours=0,
            partition="day",
            online=True,
            key_prefix="features",
            ttl_days=None,
            max_age_hours=30,
            owner="growth-ml",
            columns=(
                Column("user_id", "string"),
                Column("day", "date"),
                Column("event_count_7d", "int64"),
                Column("event_count_30d", "int64"),
                Column("last_event_days_ago", "int64"),
                Column("event_type_counts", "string"),
                Column("available_at", "timestamp"),
                Column("max_event_ts", "timestamp", online=False),
            ),
        )
    }


def test_the_contract_has_the_online_columns_without_the_key(registry: Registry) -> None:
    group = registry.groups["features_daily"]
    names = [column.name for column in group.contract.columns]
    assert names == [
        "day",
        "event_count_7d",
        "event_count_30d",
        "last_event_days_ago",
        "event_type_counts",
        "available_at",
    ]
    assert list(group.features) == names[:-1]


def test_the_contracts_id_is_a_hash_of_its_text(registry: Registry) -> None:
    contract = registry.groups["features_daily"].contract
    assert json.loads(contract.text) == {
        "group": "features_daily",
        "entity": ["user_id"],
        "columns": [{"name": c.name, "type": c.type} for c in contract.columns],
    }
    assert contract.id == hashlib.sha256(contract.text.encode()).hexdigest()[:8]
    assert Contract.from_text(contract.text) == contract


def test_what_is_published_with_the_data_reads_back_the_same(registry: Registry) -> None:
    group = registry.groups["features_daily"]
    assert FeatureGroup.from_json(group.to_json()) == group


def test_a_training_set_knows_its_labels_and_its_groups(registry: Registry) -> None:
    (training,) = registry.training_sets.values()
    assert (training.name, training.unique_id) == ("training_data", TRAINING)
    assert training.labels == ("user_id", "label", "as_of_ts")
    assert training.groups == ("features_daily",)
    assert [column.name for column in training.columns][:4] == [
        "user_id",
        "label",
        "as_of_ts",
        "day",
    ]


def test_each_gate_test_guards_the_models_it_refs(registry: Registry) -> None:
    guarded = {test.name: set(test.guards) for test in registry.gate}
    events, labels = "model.feature_store.stg_events", "model.feature_store.stg_labels"
    assert guarded == {
        "features_daily_is_unique": {MODEL},
        "features_daily_is_as_built": {MODEL},
        "features_daily_events_are_well_formed": {MODEL, events},
        "features_daily_newest_day_has_events": {MODEL, events},
        "features_daily_equals_oracle": {MODEL, events},
        "training_data_conserves_labels": {TRAINING, labels},
        "training_data_labels_are_well_formed": {TRAINING, labels},
        "training_data_equals_oracle": {TRAINING, events},
        "training_data_has_a_witness": {TRAINING, events},
        "training_data_is_covered": {TRAINING, events},
        "training_data_sees_no_future": {TRAINING, events},
    }
    assert {test.name for test in registry.guarding(MODEL)} == {
        name for name in guarded if name.startswith("features_daily")
    }


def test_a_test_without_the_tag_is_no_gate_test(changed: Read) -> None:
    def untag(body: Manifest) -> None:
        for node in body["nodes"].values():
            if node["name"] == "features_daily_is_unique":
                node["tags"] = []

    assert "features_daily_is_unique" not in {test.name for test in changed(untag).gate}


def test_the_records_are_where_the_project_says(registry: Registry) -> None:
    assert dict(registry.records) == {
        name: f'"warehouse"."feature_store"."{name}"'
        for name in ("build_plan", "build_ledger", "built_sql", "gate_verdicts", "warehouse")
    }


def test_the_checksum_is_that_of_the_file(registry: Registry, manifest: Path) -> None:
    assert registry.checksum == hashlib.sha256(manifest.read_bytes()).hexdigest()


def test_what_the_meta_leaves_out_has_a_default(changed: Read) -> None:
    def shorten(body: Manifest) -> None:
        meta = _meta(body)
        meta.clear()
        meta["entity"] = ["user_id"]

    group = changed(shorten).groups["features_daily"]
    assert (group.available_at, group.availability_lag_hours, group.partition) == (
        "available_at",
        0,
        "day",
    )
    assert (group.online, group.key_prefix) == (False, "features:features_daily")
    assert (group.ttl_days, group.max_age_hours, group.owner) == (None, None, None)


@pytest.mark.parametrize(
    ("declared", "type_"),
    [
        ("VARCHAR", "string"),
        ("integer", "int64"),
        ("bigint", "int64"),
        ("boolean", "boolean"),
        ("decimal(18, 2)", "decimal(18,2)"),
        ("DECIMAL(9,0)", "decimal(9,0)"),
    ],
)
def test_a_declared_type_has_one_published_name(changed: Read, declared: str, type_: str) -> None:
    def declare(body: Manifest) -> None:
        body["nodes"][MODEL]["columns"]["event_count_7d"]["data_type"] = declared

    assert changed(declare).groups["features_daily"].columns[2] == Column("event_count_7d", type_)


def _set(key: str, value: object) -> Callable[[Manifest], object]:
    return lambda body: _meta(body).__setitem__(key, value)


def _node(**changes: object) -> Callable[[Manifest], object]:
    return lambda body: body["nodes"][MODEL].update(changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set("entity", []), "entity: name at least one key column"),
        (_set("entity", ["user"]), "entity: 'user' is not a column of the contract"),
        (_set("available_at", "then"), "available_at: 'then' is not a column of the contract"),
        (_set("partition", "month"), "partition: 'month' is not a column of the contract"),
        (_set("ttl_days", "7"), "ttl_days: '7' is not a whole number"),
        (_set("max_age_hours", 1.5), "max_age_hours: 1.5 is not a whole number"),
        (_set("availability_lag_hours", "soon"), "availability_lag_hours: 'soon' is not a whole"),
        (_set("availability_lag_hours", True), "availability_lag_hours: True is not a whole"),
        (_node(name="_hidden"), "name: a group name cannot begin with an underscore"),
        (
            lambda body: body["nodes"][MODEL]["config"]["contract"].update(enforced=False),
            "contract: a feature group needs contract: {enforced: true}",
        ),
        (
            lambda body: body["nodes"][MODEL]["columns"]["day"].update(data_type="interval"),
            "day: type 'interval' has no published form",
        ),
        (
            lambda body: body["nodes"][MODEL]["columns"]["day"].update(data_type=None),
            "day: type '' has no published form",
        ),
    ],
)
def test_a_group_that_cannot_be_is_told_with_file_model_and_key(
    changed: Read, change: Callable[[Manifest], object], told: str
) -> None:
    with pytest.raises(BadRegistry) as refused:
        changed(change)
    message = str(refused.value)
    assert message.startswith("dbt_project/models/features/features_daily.sql: model ")
    assert told in message


def test_a_training_set_whose_labels_are_no_model_is_told(changed: Read) -> None:
    def misname(body: Manifest) -> None:
        body["nodes"][TRAINING]["config"]["meta"]["training_set"]["labels"] = "clicks"

    with pytest.raises(BadRegistry, match=r"training_set\.labels: 'clicks' is not a model"):
        changed(misname)


@pytest.mark.parametrize("text", ["", '{"nodes": {', "[]", "{}", "null"])
def test_a_manifest_that_is_not_whole_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not a whole manifest"):
        read_manifest(path)


def test_without_a_manifest_it_is_told_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not exist; run: dbt build \(or dbt parse\)"):
        read_manifest(tmp_path / "manifest.json")
