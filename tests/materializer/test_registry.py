"""The registry: what dbt's manifest declares, and what it may not."""

import base64
import copy
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from materializer.errors import BadRegistry, UsageError
from materializer.registry import Column, Contract, FeatureGroup, Origin, Registry
from materializer.registry.manifest import read_manifest
from tests.support.changed_manifest import Change, Manifest, Problem, Read
from tests.support.dbt import ROOT, Project
from tests.support.group import GROUP, make_group
from tests.support.store import MODEL, TRAINING

FILE = "dbt_project/models/features/features_daily.yml"


@pytest.fixture
def manifest(built: Project) -> Path:
    return built.target / "manifest.json"


@pytest.fixture
def registry(manifest: Path) -> Registry:
    return read_manifest(manifest)


@pytest.fixture
def changed(manifest: Path, tmp_path: Path) -> Read:
    return Read(manifest.read_text(), tmp_path)


@pytest.fixture
def problem(changed: Read) -> Problem:
    return changed.problem


def _meta(body: Manifest) -> dict[str, Any]:
    meta: dict[str, Any] = body["nodes"][MODEL]["config"]["meta"]["feature_group"]
    return meta


def _doc(name: str) -> str:
    """Read a column's meaning from where it is written once."""
    text = (ROOT / "dbt_project" / "docs" / "columns.md").read_text()
    found = re.search(r"{% docs " + name + r" %}(.*?){% enddocs %}", text, re.DOTALL)
    assert found is not None
    return found[1].strip()


def test_a_model_with_the_meta_is_a_group(registry: Registry) -> None:
    declared = registry.groups["features_daily"]
    assert list(registry.groups) == ["features_daily"]
    assert declared == make_group(
        description="One row per (user_id, day) with an event on the day or the 30 days before it."
        "\nSo an active user has a row every day; the first day the 30-day window is empty gets "
        "one closing\nrow, and after it there is none until the next event.",
        owner="growth-ml",
        columns=tuple(
            # What else the columns say is the project's; how it is read has tests of its own.
            replace(
                read,
                name=column.name,
                type=column.type,
                online=column.online,
                description=_doc(column.name),
            )
            for column, read in zip(GROUP.columns, declared.columns, strict=True)
        ),
        # Files given as a variable are not known to dbt: the model that reads them is the end.
        lineage=(
            Origin(
                "model.feature_store.stg_events",
                "model",
                "stg_events",
                '"warehouse"."feature_store"."stg_events"',
            ),
        ),
        fresh_hours=36,
        closing_row="event_count_30d = 0",
    )


def test_the_summary_is_the_first_line_of_the_description(registry: Registry) -> None:
    assert registry.groups["features_daily"].summary == (
        "One row per (user_id, day) with an event on the day or the 30 days before it."
    )


def test_what_a_column_says_of_itself_is_read(changed: Read) -> None:
    def describe(body: Manifest) -> None:
        column = body["nodes"][MODEL]["columns"]["last_event_days_ago"]
        column["description"] = "Days since the last event."
        column["config"]["meta"] = {
            "unit": "days",
            "window_days": 30,
            "null_means": "no event in the window",
            "dashboard": "of another tool",
        }

    assert changed(describe).groups["features_daily"].columns[4] == Column(
        "last_event_days_ago",
        "int64",
        online=True,
        description="Days since the last event.",
        unit="days",
        window_days=30,
        null_means="no event in the window",
    )


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
        "store_id": None,
        "definition": None,
        "group": "features_daily",
        "entity": ["user_id"],
        "columns": [{"name": c.name, "type": c.type} for c in contract.columns],
    }
    digest = hashlib.sha256(contract.text.encode()).digest()
    assert contract.id == base64.urlsafe_b64encode(digest).decode()[:6]
    assert Contract.from_text(contract.text) == contract


def test_what_is_published_with_the_data_reads_back_the_same(registry: Registry) -> None:
    group = registry.groups["features_daily"]
    assert FeatureGroup.from_json(group.to_json()) == group


PUBLISHED = {
    "name": "clicks_daily",
    "unique_id": "model.feature_store.clicks_daily",
    "relation_name": '"warehouse"."feature_store"."clicks_daily"',
    "description": "One row per (user_id, day).",
    "entity": ["user_id"],
    "available_at": "available_at",
    "availability_lag_hours": 6,
    "partition": "day",
    "online": True,
    "key_prefix": "features:clicks_daily",
    "ttl_days": 7,
    "max_age_hours": None,
    "owner": "growth-ml",
    "columns": [
        {"name": "user_id", "type": "string", "online": True},
        {"name": "day", "type": "date", "online": True},
        {"name": "available_at", "type": "timestamp", "online": False},
    ],
}
READ = make_group(
    "clicks_daily",
    (
        Column("user_id", "string"),
        Column("day", "date"),
        Column("available_at", "timestamp", online=False),
    ),
    availability_lag_hours=6,
    ttl_days=7,
    max_age_hours=None,
    owner="growth-ml",
)


def test_a_published_group_is_read_with_defaults_for_what_it_lacks() -> None:
    assert FeatureGroup.from_json(json.dumps(PUBLISHED)) == READ


def test_what_a_later_version_published_is_read_as_far_as_it_is_known() -> None:
    columns = [{**column, "colour": "red"} for column in PUBLISHED["columns"]]  # type: ignore[attr-defined]
    later = {**PUBLISHED, "columns": columns, "kind": "events"}

    assert FeatureGroup.from_json(json.dumps(later)) == READ


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
        "features_daily_rows_are_known": {MODEL},
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
    assert {test.name for test in registry.gate_tests_of(MODEL)} == {
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
        for name in (
            *("build_plan", "build_ledger", "built_sql", "day_status", "dbt_arguments"),
            *(
                "gate_objections",
                "gate_passes",
                "gate_tests",
                "gate_verdicts",
                "input_files",
                "warehouse",
            ),
        )
    }
    assert registry.records_schema == ("warehouse", "feature_store")


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

    column = changed(declare).groups["features_daily"].columns[2]
    assert (column.name, column.type) == ("event_count_7d", type_)


def _set(key: str, value: object) -> Change:
    return lambda body: _meta(body).__setitem__(key, value)


def _node(**changes: object) -> Change:
    return lambda body: body["nodes"][MODEL].update(changes)


def _type(column: str, declared: str | None) -> Change:
    return lambda body: body["nodes"][MODEL]["columns"][column].update(data_type=declared)


def _column(key: str, value: object, name: str = "day") -> Change:
    return lambda body: body["nodes"][MODEL]["columns"][name]["config"]["meta"].update({key: value})


def _kind(key: str, value: object) -> Change:
    return lambda body: body["nodes"][MODEL]["config"]["meta"].update({key: value})


KNOWN = (
    "entity, available_at, event_time, availability_lag_hours, partition, online, key_prefix, "
    "fresh_hours, closing_row, ttl_days, max_age_hours, owner"
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _kind("feature_group", "yes"),
            f"feature_group: should be a mapping, not 'yes'; known keys: {KNOWN}",
        ),
        (_kind("feature_groups", {}), "feature_groups: unknown key; did you mean feature_group?"),
        (
            _kind("training_set", {}),
            "training_set: a model cannot be a feature_group and a training_set",
        ),
        (
            _set("entitiy", ["user_id"]),
            f"entitiy: unknown key; did you mean entity? known: {KNOWN}",
        ),
        (_set("entity", []), "entity: name at least one key column"),
        (_set("entity", ["user"]), "entity: 'user' is not a column of the contract"),
        (_set("entity", "user_id"), "entity: should be a valid list, not 'user_id'"),
        (_set("entity", [7]), "entity[0]: should be a valid string, not 7"),
        (_set("entity", ["user_id", "user_id"]), "entity: 'user_id' is named twice"),
        (
            _type("user_id", "double"),
            "entity: 'user_id' is double, and must be string or int64 or date",
        ),
        (_set("available_at", "then"), "available_at: 'then' is not a column of the contract"),
        (_set("available_at", "day"), "available_at: 'day' is date, and must be timestamp"),
        (_set("available_at", True), "available_at: should be a valid string, not True"),
        (_set("partition", "month"), "partition: 'month' is not a column of the contract"),
        (_set("partition", "user_id"), "partition: 'user_id' is string, and must be date"),
        (_set("event_time", "then"), "event_time: 'then' is not a column of the contract"),
        (
            _set("event_time", "user_id"),
            "event_time: 'user_id' is string, and must be timestamp or date",
        ),
        (_set("fresh_hours", 23), "closing_row: needs fresh_hours of 24 or more"),
        (_set("fresh_hours", None), "closing_row: needs fresh_hours of 24 or more"),
        (_column("online", False), "closing_row: needs day, the partition, online"),
        (_set("online", "yes"), "online: should be a valid boolean, not 'yes'"),
        (_set("owner", ["a"]), "owner: should be a valid string, not ['a']"),
        (_set("ttl_days", "7"), "ttl_days: should be a valid integer, not '7'"),
        (_set("ttl_days", 0), "ttl_days: should be greater than 0, not 0"),
        (_set("max_age_hours", 1.5), "max_age_hours: should be a valid integer, not 1.5"),
        (_set("max_age_hours", "30"), "max_age_hours: should be a valid integer, not '30'"),
        (
            _set("availability_lag_hours", "soon"),
            "availability_lag_hours: should be a valid integer, not 'soon'",
        ),
        (
            _set("availability_lag_hours", True),
            "availability_lag_hours: should be a valid integer, not True",
        ),
        (
            _set("key_prefix", "features:a b"),
            "key_prefix: 'features:a b' can have only letters, digits and -._~, in parts that "
            "colons divide",
        ),
        (
            _set("key_prefix", "features:"),
            "key_prefix: 'features:' can have only letters, digits and -._~, in parts that "
            "colons divide",
        ),
        (
            _set("key_prefix", "features:_meta"),
            "key_prefix: 'features:_meta': a part cannot begin with an underscore",
        ),
        (
            lambda body: body["nodes"][MODEL]["config"]["contract"].update(enforced=False),
            "contract: a feature group needs contract: {enforced: true}",
        ),
        (_type("day", "interval"), "day: type 'interval' has no published form"),
        (_type("day", None), "day: type '' has no published form"),
        (_column("onlin", False), "day.onlin: unknown key; did you mean online?"),
        (_column("Window-Days", 7), "day.Window-Days: unknown key; did you mean window_days?"),
        (_column("online", "no"), "day.online: should be a valid boolean, not 'no'"),
        (_column("window_days", "7d"), "day.window_days: should be a valid integer, not '7d'"),
        (_column("unit", 7), "day.unit: should be a valid string, not 7"),
        (
            _column("may_be_futur", True),
            "day.may_be_futur: unknown key; did you mean may_be_future?",
        ),
        (
            _column("may_be_future", True, "event_count_7d"),
            "event_count_7d.may_be_future: is for dates and timestamps, and the column is int64",
        ),
        (_column("null_means", ""), "day.null_means: should have at least 1 character, not ''"),
    ],
)
def test_a_group_that_cannot_be_is_refused_with_file_model_and_key(
    problem: Problem, change: Change, message: str
) -> None:
    assert problem(change) == f"{FILE}: model features_daily: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("_hidden", "a group name cannot begin with an underscore"),
        ("clicks.daily", "a group name has only letters, digits and underscores"),
        ("labels", "'labels' is the published table of the labels"),
    ],
)
def test_a_name_that_no_group_can_have_is_refused(
    problem: Problem, name: str, message: str
) -> None:
    assert problem(_node(name=name)) == f"{FILE}: model {name}: name: {message}"


@pytest.mark.parametrize("kind", ["seed", "snapshot"])
def test_what_is_not_a_model_cannot_be_a_group(problem: Problem, kind: str) -> None:
    assert problem(_node(resource_type=kind)) == (
        f"{FILE}: model features_daily: feature_group: a {kind} keeps no contract; declare a model "
        "that selects from it"
    )


def test_a_model_without_yaml_is_refused_by_the_name_of_its_sql(changed: Read) -> None:
    def configure(body: Manifest) -> None:
        body["nodes"][MODEL]["patch_path"] = None
        _meta(body)["entity"] = []

    with pytest.raises(BadRegistry, match=r"^dbt_project/models/features/features_daily\.sql: "):
        changed(configure)


def _beside(
    name: str = "clicks", file: str = "zz.yml", **meta: object
) -> Callable[[Manifest], None]:
    """Add another group, whose file comes after the first one's by default."""

    def add(body: Manifest) -> None:
        node = copy.deepcopy(body["nodes"][MODEL])
        unique_id = f"model.other.{name}"
        node.update(name=name, unique_id=unique_id, patch_path=f"other://{file}")
        group = node["config"]["meta"]["feature_group"]
        del group["key_prefix"]
        group.update(meta)
        body["nodes"][unique_id] = node

    return add


def _prefixes(first: str, second: str) -> Change:
    """Give the first group a prefix, and add another one with its own."""

    def both(body: Manifest) -> None:
        _meta(body)["key_prefix"] = first
        _beside(key_prefix=second)(body)

    return both


def test_a_second_group_has_a_prefix_of_its_own(changed: Read) -> None:
    groups = changed(_beside()).groups
    assert {name: group.key_prefix for name, group in groups.items()} == {
        "features_daily": "features",
        "clicks": "features:clicks",
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [("features", "features"), ("a", "a:b"), ("a:b:c", "a:b"), ("a.b", "a.b:c:d")],
)
def test_a_prefix_that_could_make_anothers_key_is_refused(
    problem: Problem, first: str, second: str
) -> None:
    assert problem(_prefixes(first, second)) == (
        f"zz.yml: model clicks: key_prefix: {second!r} and {first!r} of features_daily could make "
        "the same key; set another"
    )


@pytest.mark.parametrize(("first", "second"), [("a", "ab:c"), ("a:b", "a:c"), ("a", "b:a")])
def test_a_prefix_that_begins_alike_is_no_collision(changed: Read, first: str, second: str) -> None:
    groups = changed(_prefixes(first, second)).groups
    assert [group.key_prefix for group in groups.values()] == [first, second]


def test_the_short_prefix_is_for_a_group_with_one_key_column(changed: Read) -> None:
    def both(body: Manifest) -> None:
        _meta(body)["entity"] = ["user_id", "event_type_counts"]
        _beside()(body)

    with pytest.raises(BadRegistry, match="'features:clicks' and 'features' of features_daily"):
        changed(both)


def test_two_groups_of_one_name_are_refused(problem: Problem) -> None:
    assert (
        problem(_beside("features_daily", key_prefix="other"))
        == f"zz.yml: model features_daily: name: {MODEL} has this name too"
    )


def test_of_several_problems_the_first_by_file_is_reported(problem: Problem) -> None:
    def both(body: Manifest) -> None:
        _meta(body)["entity"] = []
        _beside(file="a.yml", ttl_days=0)(body)

    assert problem(both) == "a.yml: model clicks: ttl_days: should be greater than 0, not 0"


def test_a_training_set_whose_labels_are_not_a_model_is_refused(changed: Read) -> None:
    def misname(body: Manifest) -> None:
        body["nodes"][TRAINING]["config"]["meta"]["training_set"]["labels"] = "clicks"

    with pytest.raises(BadRegistry, match=r"training_set\.labels: 'clicks' is not a model"):
        changed(misname)


def test_an_unknown_key_of_a_training_set_is_refused(problem: Problem) -> None:
    def add(body: Manifest) -> None:
        body["nodes"][TRAINING]["config"]["meta"]["training_set"]["label"] = "stg_labels"

    assert problem(add) == (
        "dbt_project/models/training/training_data.yml: model training_data: training_set.label: "
        "unknown key; did you mean labels? known: labels"
    )


@pytest.mark.parametrize("text", ["", '{"nodes": {', "[]", "{}", "null"])
def test_a_manifest_that_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is not a complete manifest"):
        read_manifest(path)


def test_without_a_manifest_the_error_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not exist; run: dbt build \(or dbt parse\)"):
        read_manifest(tmp_path / "manifest.json")


def _version(body: Manifest, name: str, version: object, **changes: object) -> str:
    """Add a version of a model, as dbt writes it; gives its id."""
    node = copy.deepcopy(body["nodes"][MODEL])
    unique_id = f"model.feature_store.{name}.v{version}"
    node.update(name=name, version=version, unique_id=unique_id, latest_version=2, **changes)
    del node["config"]["meta"]["feature_group"]["key_prefix"]
    body["nodes"][unique_id] = node
    return unique_id


def test_each_version_of_a_model_is_a_group_of_its_own(changed: Read) -> None:
    def both(body: Manifest) -> None:
        _version(body, "clicks", 1, deprecation_date="2027-01-01T00:00:00+02:00")
        _version(body, "clicks", 2)
        _version(body, "clicks", "2.1")

    groups = changed(both).groups
    assert {
        name: (group.version, group.latest_version, group.deprecation_date, group.key_prefix)
        for name, group in groups.items()
    } == {
        "features_daily": (None, None, None, "features"),
        "clicks_v1": ("1", "2", "2026-12-31T22:00:00Z", "features:clicks_v1"),
        "clicks_v2": ("2", "2", None, "features:clicks_v2"),
        "clicks_v2_1": ("2.1", "2", None, "features:clicks_v2_1"),
    }


def test_a_training_set_names_the_version_it_refs(changed: Read) -> None:
    def refer(body: Manifest) -> None:
        body["nodes"][TRAINING]["depends_on"]["nodes"].append(_version(body, "clicks", 2))

    assert changed(refer).training_sets["training_data"].groups == ("features_daily", "clicks_v2")


def test_a_snapshot_is_in_the_lineage_next_to_what_it_saw(changed: Read) -> None:
    def look(body: Manifest) -> None:
        seen = {**body["nodes"]["model.feature_store.stg_labels"], "resource_type": "snapshot"}
        seen.update(unique_id="snapshot.feature_store.seen", name="seen", config={})
        seen["depends_on"] = {"nodes": ["model.feature_store.stg_events"]}
        body["nodes"][seen["unique_id"]] = seen
        body["nodes"][MODEL]["depends_on"]["nodes"] = [seen["unique_id"]]

    lineage = changed(look).groups["features_daily"].lineage
    assert [(one.kind, one.name) for one in lineage] == [
        ("model", "stg_events"),
        ("snapshot", "seen"),
    ]


def test_lineage_ends_at_sources_and_seeds_without_the_records(changed: Read) -> None:
    def descend(body: Manifest) -> None:
        source = {
            "unique_id": "source.feature_store.raw.clicks",
            "resource_type": "source",
            "source_name": "raw",
            "name": "clicks",
            "relation_name": '"warehouse"."raw"."clicks"',
        }
        body["sources"][source["unique_id"]] = source
        seed = {**body["nodes"]["model.feature_store.stg_labels"], "resource_type": "seed"}
        seed.update(unique_id="seed.feature_store.users", name="users", depends_on={"macros": []})
        body["nodes"][seed["unique_id"]] = seed
        events = body["nodes"]["model.feature_store.stg_events"]
        events["config"]["meta"].clear()
        events["depends_on"]["nodes"] = [source["unique_id"], seed["unique_id"]]

    assert changed(descend).groups["features_daily"].lineage == (
        Origin(
            "seed.feature_store.users",
            "seed",
            "users",
            '"warehouse"."feature_store"."stg_labels"',
        ),
        Origin(
            "source.feature_store.raw.clicks", "source", "raw.clicks", '"warehouse"."raw"."clicks"'
        ),
    )


def test_the_last_run_of_a_model_is_known_where_dbt_wrote_it(registry: Registry) -> None:
    run = registry.runs[MODEL]
    assert (run.status, run.seconds > 0) == ("success", True)
    assert run.completed_at is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", run.completed_at)


def test_the_types_of_the_warehouse_are_known_where_dbt_wrote_them(
    manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest.read_bytes())
    columns = {"user_id": {"name": "user_id", "type": "VARCHAR", "index": 1, "comment": None}}
    catalog = {"nodes": {MODEL: {"columns": columns}}}
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))

    assert read_manifest(tmp_path / "manifest.json").warehouse_types == {
        MODEL: {"user_id": "VARCHAR"}
    }


@pytest.mark.parametrize("text", [None, "", '{"results": [', "[]"])
def test_extras_that_are_not_there_say_nothing(
    manifest: Path, tmp_path: Path, text: str | None
) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest.read_bytes())
    if text is not None:
        for name in ("run_results.json", "catalog.json"):
            (tmp_path / name).write_text(text)

    registry = read_manifest(tmp_path / "manifest.json")

    assert (dict(registry.runs), dict(registry.warehouse_types)) == ({}, {})
