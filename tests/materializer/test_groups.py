"""`materializer groups`: for people and for machines, what is known of the registry."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from materializer.console import Console
from materializer.describe import describe_groups
from materializer.errors import UnknownGroup
from materializer.registry import Column, FeatureGroup, GateTest, LastRun, Origin, Registry
from tests.materializer.test_cli import assert_no_engine_is_imported
from tests.support.group import make_group
from tests.support.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW = make_group(
    "visits_v2",
    unique_id="model.shop.visits.v2",
    relation_name='"shop"."store"."visits_v2"',
    description="One row per (customer, day).\nA visit ends after half an hour.",
    entity=("customer_id", "shop"),
    available_at="known_at",
    availability_lag_hours=6,
    ttl_days=90,
    max_age_hours=30,
    owner="growth",
    columns=(
        Column("customer_id", "int64"),
        Column("shop", "string"),
        Column("day", "date", description="The day."),
        Column("spent", "decimal(9,2)", True, "What was\nspent.", "EUR", 30, "no visit"),
        Column("known_at", "timestamp"),
        Column("notes", "string", online=False),
    ),
    tags=("nightly", "pii"),
    version="2",
    latest_version="2",
    lineage=(
        Origin("seed.shop.shops", "seed", "shops", '"shop"."store"."shops"'),
        Origin("source.shop.till.receipts", "source", "till.receipts", '"shop"."till"."receipts"'),
    ),
    fresh_hours=24,
    closing_row="spent = 0",
)
OLD = replace(
    NEW,
    name="visits_v1",
    unique_id="model.shop.visits.v1",
    description="",
    online=False,
    key_prefix="features:visits_v1",
    ttl_days=None,
    max_age_hours=None,
    owner=None,
    tags=(),
    version="1",
    deprecation_date="2026-06-01T00:00:00Z",
    lineage=(),
    fresh_hours=None,
    closing_row=None,
)
REGISTRY = Registry(
    groups={"visits_v1": OLD, "visits_v2": NEW},
    training_sets={},
    gate=(GateTest("test.shop.unique", "visits_are_unique", (NEW.unique_id,)),),
    records={},
    checksum="",
    runs={NEW.unique_id: LastRun("success", "2025-12-31T01:02:03Z", 0.5)},
    warehouse_types={NEW.unique_id: {"spent": "DECIMAL(9,2)"}},
)


def lines(name: str | None = None, registry: Registry = REGISTRY, now: datetime = NOW) -> list[str]:
    out = io.StringIO()
    assert describe_groups(registry, name, Console(out=out), now) == 0
    return out.getvalue().splitlines()


def document(name: str | None = None) -> Any:
    out = io.StringIO()
    describe_groups(REGISTRY, name, Console(as_json=True, out=out), NOW)
    return json.loads(out.getvalue())


def test_the_list_has_a_line_for_each_group() -> None:
    key = "customer_id (int64), shop (string)"
    space = " " * (len(key) - len("key"))
    assert lines() == [
        f"name       version  key{space}  features  online  ttl   owner   description",
        f"visits_v1  1        {key}  2         no      -     -       deprecated from 2026-06-01.",
        f"visits_v2  2        {key}  2         yes     90 d  growth  One row per (customer, day).",
    ]


def test_a_group_whose_date_is_past_is_deprecated_since_then() -> None:
    later = datetime(2026, 6, 1, tzinfo=UTC)
    assert lines(now=later)[1].endswith("  deprecated since 2026-06-01.")


def test_a_project_without_groups_says_how_a_model_becomes_one() -> None:
    empty = replace(REGISTRY, groups={})
    assert lines(registry=empty) == ["no feature group; a model becomes one by meta.feature_group"]


def test_one_group_is_described() -> None:
    assert lines("visits_v2") == [
        "visits_v2",
        "One row per (customer, day).",
        "A visit ends after half an hour.",
        "",
        "key           customer_id (int64), shop (string)",
        "version       2",
        "owner         growth",
        "tags          nightly, pii",
        "online        yes, features:visits_v2:<customer_id>:<shop>",
        "fresh         for 24 h; longer where spent = 0",
        "ttl           90 days",
        "stale         after 30 h",
        "available at  known_at, 6 h after the day",
        "partition     day",
        'relation      "shop"."store"."visits_v2"',
        "comes from    seed shops",
        "comes from    source till.receipts",
        "gate          visits_are_unique",
        "last dbt run  success, 2025-12-31T01:02:03Z",
        "",
        "column       type          online  unit  window  null      description",
        "customer_id  int64         key     -     -       -         -",
        "shop         string        key     -     -       -         -",
        "day          date          yes     -     -       -         The day.",
        "spent        decimal(9,2)  yes     EUR   30 d    no visit  What was spent.",
        "known_at     timestamp     yes     -     -       -         -",
        "notes        string        no      -     -       -         -",
    ]


def test_a_group_that_declares_little_is_described_in_few_lines() -> None:
    assert lines("visits_v1")[:13] == [
        "visits_v1",
        "",
        "key           customer_id (int64), shop (string)",
        "version       1, latest is 2",
        "              deprecated from 2026-06-01.",
        "owner         -",
        "online        no",
        "fresh         until the next row",
        "stale         never",
        "available at  known_at, 6 h after the day",
        "partition     day",
        'relation      "shop"."store"."visits_v2"',
        "gate          no test, so it is not published",
    ]


def expected(group: FeatureGroup, **more: object) -> Mapping[str, object]:
    body = json.loads(group.to_json())
    columns = [{**column, "warehouse_type": None} for column in body["columns"]]
    del body["store_id"], body["definition"]
    return {
        **body,
        "columns": columns,
        "features": ["day", "spent"],
        "gate": [],
        "not_provable": [],
        "last_run": None,
        **more,
    }


def test_a_machine_gets_the_whole_of_one_group() -> None:
    run = asdict(REGISTRY.runs[NEW.unique_id])
    wanted: Any = expected(NEW, gate=["visits_are_unique"], last_run=run)
    wanted["columns"][3]["warehouse_type"] = "DECIMAL(9,2)"

    assert document("visits_v2") == {"group": wanted}


def test_a_machine_gets_the_whole_of_every_group() -> None:
    assert document() == {
        "groups": [document("visits_v1")["group"], document("visits_v2")["group"]]
    }


def test_an_unknown_group_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownGroup, match="'visits'; known: visits_v1, visits_v2"):
        lines("visits")


@pytest.mark.parametrize("name", [(), ("features_daily",)])
def test_no_engine_is_imported_and_no_store_made(published: Store, name: tuple[str, ...]) -> None:
    home = published.project.folder / "no_home"
    env = {**published.env, "FEATURE_STORE_HOME": str(home)}
    lines = assert_no_engine_is_imported(["groups", *name], published.project.folder, env)
    assert any(line.startswith("features_daily") for line in lines)
    assert not home.exists()
