"""`materializer views`: for people and for machines, what is known of the feature views."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from materializer.console import Console
from materializer.describe import describe_views
from materializer.errors import UnknownView
from materializer.registry import Column, FeatureView, GateTest, Registry, TrainingSet
from materializer.views.definition import Feature, FittedStep, Join, ViewVersion
from materializer.views.versions import PublishedVersion

FRAUD = FeatureView(
    name="fraud_v1",
    unique_id="model.shop.fraud_v1",
    relation_name='"shop"."store"."fraud_v1"',
    description="What the fraud model is given.\nAsked at the till.",
    owner="risk",
    training_set="payments",
    label="is_fraud",
    time="paid_at",
    train_until="2024-02-01",
    declared={
        "training_set": "payments",
        "label": "is_fraud",
        "train_until": "2024-02-01",
        "transforms": [
            {"type": "impute", "column": "spent", "with": "median"},
            {"type": "one_hot_encode", "column": "level"},
            {"type": "scale", "column": "spent"},
        ],
    },
    parameters="fraud_v1_parameters",
    parameters_id="model.shop.fraud_v1_parameters",
    parameters_relation='"shop"."store"."fraud_v1_parameters"',
    keep_versions=3,
)
PLAIN = replace(
    FRAUD,
    name="plain",
    unique_id="model.shop.plain",
    description="",
    owner=None,
    declared={},
    parameters_id="model.shop.plain_parameters",
    keep_versions=None,
)
PAYMENTS = TrainingSet(
    name="payments",
    unique_id="model.shop.payments",
    relation_name='"shop"."store"."payments"',
    columns=(Column("paid_at", "timestamp"), Column("is_fraud", "int64")),
    labels=("paid_at", "is_fraud"),
    labels_relation=None,
    groups=(),
    time="paid_at",
)
REGISTRY = Registry(
    groups={},
    training_sets={"payments": PAYMENTS},
    gate=(
        GateTest("test.shop.a", "fraud_conserves", (FRAUD.unique_id,)),
        GateTest("test.shop.b", "fraud_is_fitted", (FRAUD.parameters_id,)),
    ),
    records={},
    checksum="",
    views={"fraud_v1": FRAUD, "plain": PLAIN},
)


def fitted(value: float, levels: Sequence[str]) -> ViewVersion:
    steps = (FittedStep("impute", {"value": value}), FittedStep("scale", {"mean": 2, "scale": 0.5}))
    return ViewVersion(
        view="fraud_v1",
        description=FRAUD.description,
        owner=FRAUD.owner,
        training_set="payments",
        label="is_fraud",
        train_until="2024-01-01",
        fitted_on_rows=1200,
        keys=(Column("customer", "int64"), Column("shop", "string")),
        joins=(Join("customers", "customers", {"id": "customer"}, "error", "now"),),
        features=(
            Feature("spent", "decimal(9,2)", "customers", "spent", steps),
            Feature(
                "level",
                "string",
                "customers",
                "level",
                (FittedStep("one_hot_encode", {"categories": levels}),),
            ),
            Feature("amount", "double", None, None),
        ),
    )


def published(version: ViewVersion, day: int) -> PublishedVersion:
    at = datetime(2024, 2, day, 12)
    return PublishedVersion("fraud_v1", version.id, at, f"payments-{day}", version.text)


OLD, NEW = fitted(1.5, ["gold"]), fitted(2.5, ["gold", "a\nb"])
VERSIONS = [published(OLD, 1), published(NEW, 2)]
NOW = {"customers": "now"}


def test_versions_of_another_definition_are_marked() -> None:
    changed = {"customers": "changed"}
    note = "; not served, customers has another definition now"
    marked = [line for line in lines("fraud_v1", definitions=changed) if line.endswith(note)]
    assert [line.split()[0] for line in marked] == ["at", "before"]
    assert not any("definition" in line for line in lines("fraud_v1"))
    [old, new] = document("fraud_v1", changed)["view"]["versions"]
    assert old["outdated_groups"] == new["outdated_groups"] == ["customers"]
    # A group that was never published, or not any more, has other errors.
    assert not any("definition" in line for line in lines("fraud_v1", definitions={}))


def lines(
    name: str | None = None,
    versions: Sequence[PublishedVersion] = VERSIONS,
    registry: Registry = REGISTRY,
    definitions: Mapping[str, str | None] = NOW,
) -> list[str]:
    out = io.StringIO()
    assert describe_views(registry, name, versions, definitions, Console(out=out)) == 0
    return out.getvalue().splitlines()


def document(name: str | None = None, definitions: Mapping[str, str | None] = NOW) -> Any:
    out = io.StringIO()
    describe_views(REGISTRY, name, VERSIONS, definitions, Console(as_json=True, out=out))
    return json.loads(out.getvalue())


def cells(line: str) -> list[str]:
    """Split a line of a table; how wide its columns are is not what a test is about."""
    return re.split(r"\s{2,}", line)


def test_the_list_has_a_line_for_each_view() -> None:
    key = "customer (int64), shop (string)"
    head = ["name", "training set", "label", "key", "features", "columns", "version", "versions"]

    assert [cells(line) for line in lines()] == [
        [*head, "train until", "owner"],
        ["fraud_v1", "payments", "is_fraud", key, "3", "4", NEW.id, "2", "2024-02-01", "risk"],
        ["plain", "payments", "is_fraud", "-", "-", "-", "-", "0", "2024-02-01", "-"],
    ]


def test_a_project_without_views_says_how_a_model_becomes_one() -> None:
    assert lines(registry=replace(REGISTRY, views={})) == [
        "no feature view; a model becomes one by meta.feature_view"
    ]


def test_one_view_is_described() -> None:
    assert lines("fraud_v1")[:19] == [
        "fraud_v1",
        "What the fraud model is given.",
        "Asked at the till.",
        "",
        "training set  payments",
        "label         is_fraud (int64)",
        "key           customer (int64), shop (string)",
        "time          paid_at",
        "train until   2024-02-01",
        "owner         risk",
        "keeps         3 versions",
        'relation      "shop"."store"."fraud_v1"',
        "gate          fraud_conserves, fraud_is_fitted",
        f"version       {NEW.id}, fitted on 1,200 rows of payments-2",
        "              at 2024-02-02T12:00:00Z, before 2024-01-01",
        f"before it     {OLD.id}, at 2024-02-01T12:00:00Z",
        "",
        "group      found by                  missing",
        "customers  customers: id = customer  error",
    ]


def test_each_feature_is_shown_with_its_chain_and_what_that_was_fitted_to() -> None:
    page = lines("fraud_v1")
    table = page[page.index("", 17) + 1 :]

    assert [cells(line) for line in table] == [
        ["feature", "type", "comes from", "step", "fitted to", "columns"],
        [
            *("spent", "decimal(9,2)", "customers.spent", 'impute with "median"', "value 2.5"),
            "spent",
        ],
        ["", "scale", "mean 2, scale 0.5"],
        [
            *("level", "string", "customers.level", "one_hot_encode"),
            'categories ["gold", "a\\nb"]',
            'level__gold, "level__a\\nb"',
        ],
        ["amount", "double", "the request", "-", "-", "amount"],
    ]


def test_a_view_that_was_never_published_is_described_as_far_as_it_is_declared() -> None:
    assert lines("plain") == [
        "plain",
        "",
        "training set  payments",
        "label         is_fraud (int64)",
        "time          paid_at",
        "train until   2024-02-01",
        "owner         -",
        "keeps         every version",
        'relation      "shop"."store"."fraud_v1"',
        "gate          no test, so it is not published",
        "version       none is published; keys, groups and features are known once one is",
    ]


def test_a_step_that_was_not_fitted_so_is_not_shown_with_the_parameters_of_another() -> None:
    other = {"transforms": [{"type": "clip", "column": "spent", "min": 0}]}
    changed = replace(FRAUD, declared=other)

    [line] = [
        line
        for line in lines("fraud_v1", registry=replace(REGISTRY, views={"fraud_v1": changed}))
        if line.startswith("spent ")
    ]

    assert line.split()[3:] == ["clip", "min", "0", "-", "spent"]


def test_long_parameters_are_cut_for_people() -> None:
    many = published(fitted(1.0, [f"level{n}" for n in range(100)]), 3)

    assert max(len(line) for line in lines("fraud_v1", versions=[many])) < 200


def test_a_machine_gets_the_whole_of_one_view() -> None:
    view = document("fraud_v1")["view"]

    assert (view["name"], view["version"], view["keep_versions"]) == ("fraud_v1", NEW.id, 3)
    assert view["keys"] == [
        {"name": "customer", "type": "int64"},
        {"name": "shop", "type": "string"},
    ]
    assert view["joins"] == [
        {
            "name": "customers",
            "group": "customers",
            "on": {"id": "customer"},
            "missing": "error",
            "definition": "now",
        }
    ]
    assert view["features"][0]["steps"][0] == {
        "transform": "impute",
        "parameters": {"with": "median"},
    }
    assert view["gate"] == ["fraud_conserves"]
    assert view["gate_of_parameters"] == ["fraud_is_fitted"]
    assert view["versions"] == [
        {
            "version": one.id,
            "fitted_at": f"2024-02-0{day}T12:00:00Z",
            "training_tag": f"payments-{day}",
            "outdated_groups": [],
        }
        for day, one in enumerate((OLD, NEW), start=1)
    ]
    assert view["published"] == json.loads(NEW.text)
    assert [column["name"] for column in view["columns"]] == [
        "spent",
        "level__gold",
        "level__a\nb",
        "amount",
    ]


def test_a_machine_gets_null_for_what_is_not_known_before_a_publish() -> None:
    view = document("plain")["view"]

    assert {name for name, value in view.items() if value is None} == {
        *("owner", "keep_versions", "keys", "joins", "features", "version", "published"),
    }


def test_a_machine_gets_the_whole_of_every_view() -> None:
    assert document() == {"views": [document("fraud_v1")["view"], document("plain")["view"]]}


def test_an_unknown_view_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownView, match="'fraud'; known: fraud_v1, plain"):
        lines("fraud")
