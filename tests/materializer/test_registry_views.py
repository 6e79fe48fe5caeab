"""A model becomes a feature view, or is refused in one line that names file, model and key."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from materializer.errors import BadRegistry
from materializer.registry import (
    Column,
    Feature,
    FeatureView,
    FittedStep,
    Join,
    Registry,
    ViewVersion,
    read_manifest,
)
from materializer.views.transforms import TRANSFORMS
from tests.serve.payments import FIRST_VERSION
from tests.support.transfers import TRANSFORMS as DECLARED
from tests.support.transfers import parsed_transfers
from tests.support.view_project import VIEW

Manifest = dict[str, Any]
Change = Callable[[Manifest], object]
Read = Callable[[Change], Registry]

TRAINING, FACTS = "model.views.training", "model.views.facts"
NODE = f"model.views.{VIEW}"
PARAMETERS = f"model.views.{VIEW}_parameters"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    path = parsed_transfers(tmp_path_factory).target / "manifest.json"
    body = json.loads(path.read_text())
    # Models of the package are not in it: it is as small as a test can change and read.
    return {
        "nodes": {name: node for name, node in body["nodes"].items() if ".views." in name},
        "sources": body["sources"],
    }


@pytest.fixture
def changed(manifest: Manifest, tmp_path: Path) -> Read:
    """Read the manifest after a change to it."""

    def read(change: Change) -> Registry:
        body = copy.deepcopy(manifest)
        change(body)
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps(body))
        return read_manifest(path)

    return read


def _meta(body: Manifest) -> dict[str, Any]:
    meta: dict[str, Any] = body["nodes"][NODE]["config"]["meta"]["feature_view"]
    return meta


def _noted(body: Manifest) -> dict[str, Any]:
    noted: dict[str, Any] = body["nodes"][TRAINING]["config"]["meta"]["point_in_time"]
    return noted


def _set(**meta: object) -> Change:
    return lambda body: _meta(body).update(meta)


def _without(key: str) -> Change:
    return lambda body: _meta(body).pop(key)


def _join(number: int, **changes: object) -> Change:
    return lambda body: _noted(body)["groups"][number].update(changes)


def _refs(*ids: str) -> Change:
    return lambda body: body["nodes"][NODE]["depends_on"].update(nodes=list(ids))


def _undeclared(column: str) -> Change:
    return lambda body: body["nodes"][TRAINING]["columns"].pop(column)


# What a view is


def test_a_model_with_the_meta_is_a_view(changed: Read) -> None:
    view = changed(lambda body: None).views[VIEW]

    def of(who: str, name: str, kind: str, *steps: FittedStep) -> Feature:
        return Feature(f"{who}_{name}", kind, f"{who}_facts", name, steps)

    assert view == FeatureView(
        name=VIEW,
        unique_id=NODE,
        relation_name=f'"warehouse"."feature_store"."{VIEW}"',
        description="",
        owner=None,
        training_set="training",
        label="label",
        label_type="int64",
        time="asked_at",
        train_until="2024-02-01",
        keys=(Column("sender", "string"), Column("receiver", "string")),
        joins=(
            Join("sender_facts", "facts", (("id", "sender"),), "null"),
            Join("receiver_facts", "facts", (("id", "receiver"),), "null"),
        ),
        features=(
            Feature("amount", "double", None, None, (FittedStep("log1p", {}),)),
            of("sender", "balance", "double", FittedStep("scale", {})),
            of("sender", "level", "string", FittedStep("one_hot_encode", {})),
            of("sender", "score", "decimal(9,2)"),
            of("receiver", "balance", "double"),
            of("receiver", "level", "string", FittedStep("ordinal_encode", {})),
            of("receiver", "score", "decimal(9,2)", FittedStep("impute", {"with": "median"})),
        ),
        parameters=f"{VIEW}_parameters",
        parameters_id=PARAMETERS,
        parameters_relation=f'"warehouse"."feature_store"."{VIEW}_parameters"',
        keep_versions=None,
    )


def test_a_group_without_a_feature_need_not_be_there_for_a_vector(changed: Read) -> None:
    view = changed(_set(features=["amount", "receiver_score"], transforms=[])).views[VIEW]

    assert [join.name for join in view.joins] == ["receiver_facts"]
    assert [key.name for key in view.keys] == ["sender", "receiver"]


def test_a_group_that_is_not_online_has_no_features_that_come_from_it(changed: Read) -> None:
    def keep_offline(body: Manifest) -> None:
        body["nodes"][FACTS]["config"]["meta"]["feature_group"]["online"] = False

    view = changed(keep_offline).views[VIEW]

    assert view.joins == ()
    assert {feature.join for feature in view.features} == {None}


def test_a_column_that_is_not_online_can_come_with_a_request_alone(changed: Read) -> None:
    def keep_offline(body: Manifest) -> None:
        body["nodes"][FACTS]["columns"]["balance"]["config"]["meta"] = {"online": False}

    joins = {one.name: one.join for one in changed(keep_offline).views[VIEW].features}

    assert (joins["sender_balance"], joins["sender_score"]) == (None, "sender_facts")


@pytest.mark.parametrize("rule", ["null", "error", None])
def test_a_rule_is_of_one_join(changed: Read, rule: str | None) -> None:
    view = changed(_set(missing={"receiver_facts": rule})).views[VIEW]

    assert [join.missing for join in view.joins] == ["null", rule or "null"]


def test_impute_needs_a_value_in_the_place_of_each_feature(changed: Read) -> None:
    filled = [
        {"type": "impute", "column": "receiver_score", "with": "mean"},
        {"type": "scale", "column": "receiver_score"},
        {"type": "one_hot_encode", "column": "receiver_level"},
    ]
    names = ["receiver_score", "receiver_level"]
    rule = {"receiver_facts": "impute"}

    view = changed(_set(features=names, transforms=filled, missing=rule)).views[VIEW]

    assert view.joins[0].missing == "impute"


@pytest.mark.parametrize(
    "until", ["2024-02-01", "2024-02-01 12:00", "2024-02-01T12:00:00", "2024-02-01 12:00:00.000001"]
)
def test_a_view_is_trained_until_a_date_or_a_time(changed: Read, until: str) -> None:
    assert changed(_set(train_until=until)).views[VIEW].train_until == until


def test_a_version_reads_back_the_same_and_has_the_same_name() -> None:
    read = ViewVersion.from_text(FIRST_VERSION.text)

    assert (read, read.text, read.id) == (FIRST_VERSION, FIRST_VERSION.text, FIRST_VERSION.id)


# What is refused

KEYS = "training_set, label, train_until, features, transforms, missing, keep_versions, owner"
TYPES = "scale, min_max, log1p, clip, bucketize, impute, ordinal_encode, one_hot_encode"
NAMES = (
    "amount, sender_balance, sender_level, sender_score, receiver_balance, receiver_level, "
    "receiver_score"
)
NO_SET = "feature_view.training_set: 'training' is not a training set this model refs"
ONE_MORE = "feature_view.training_set: beside it the view refs one model, that of its parameters"
NO_TIME = "is no UTC date or time; write 2024-02-15"
A_STEP = "is not a list; write - {type: scale, column: <name>}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda body: body["nodes"][NODE]["config"]["meta"].update(feature_view=["x"]),
            f"feature_view: ['x'] is not a mapping; known keys: {KEYS}",
        ),
        (_set(lable="x"), f"feature_view.lable: unknown key; known: {KEYS}"),
        (_without("training_set"), "feature_view.training_set: is missing"),
        (_without("label"), "feature_view.label: is missing"),
        (_set(train_until=None), "feature_view.train_until: is missing"),
        (_set(training_set=7), "feature_view.training_set: 7 is not a text"),
        (
            _set(training_set="facts"),
            "feature_view.training_set: 'facts' is not a training set this model refs",
        ),
        (_refs(PARAMETERS), NO_SET),
        (_refs(TRAINING), ONE_MORE),
        (_refs(TRAINING, PARAMETERS, FACTS), ONE_MORE),
        (
            lambda body: body["nodes"][TRAINING]["config"]["meta"].pop("point_in_time"),
            "feature_view.training_set: training is not built with point_in_time_join",
        ),
        (
            _undeclared("amount"),
            "feature_view.training_set: training declares no column amount, which it has",
        ),
        (
            _undeclared("sender_level"),
            "feature_view.training_set: training declares no column sender_level, which it has",
        ),
        (
            _join(0, group="nothing"),
            "feature_view.training_set: nothing, which it joins, is no feature group",
        ),
        (
            _join(1, prefix="sender_"),
            "feature_view.training_set: it joins sender_facts twice; give one a prefix",
        ),
        (
            _join(0, on={}),
            "feature_view.training_set: it joins facts on nothing, and a row of it is found by id",
        ),
        (
            lambda body: body["nodes"][TRAINING]["columns"]["sender"].update(data_type="bigint"),
            "feature_view.training_set: sender is int64, and id of facts, which it is joined with, "
            "string",
        ),
        (
            _set(label="clicks"),
            "feature_view.label: 'clicks' is not one of sender, receiver, asked_at, label, amount",
        ),
        (_set(label="sender"), "feature_view.label: 'sender' is a key, or the time"),
        (_set(label="asked_at"), "feature_view.label: 'asked_at' is a key, or the time"),
        (_set(train_until="soon"), f"feature_view.train_until: 'soon' {NO_TIME}"),
        (_set(train_until="2024-02-30"), f"feature_view.train_until: '2024-02-30' {NO_TIME}"),
        (
            _set(train_until="2024-02-01T00:00:00+01:00"),
            f"feature_view.train_until: '2024-02-01T00:00:00+01:00' {NO_TIME}",
        ),
        (
            _set(train_until=20240201),
            "feature_view.train_until: 20240201 is no date or time; write 2024-02-15",
        ),
        (
            _set(features="amount"),
            "feature_view.features: 'amount' is not a list of columns; write [amount]",
        ),
        (_set(features=[]), "feature_view.features: name at least one, or leave it out for all"),
        (_set(features=["x"]), "feature_view.features: 'x' is not a column of training"),
        (_set(features=["amount"] * 2), "feature_view.features: 'amount' is named twice"),
        # A model that is given its label is right in training, and never after.
        *(
            (
                _set(features=[name]),
                f"feature_view.features: {name!r} is a key, the time, the label or the split",
            )
            for name in ("label", "sender", "asked_at")
        ),
        (_set(missing=["sender_facts"]), "feature_view.missing: ['sender_facts'] is not a mapping"),
        (
            _set(missing={"facts": "error"}),
            "feature_view.missing: 'facts' is none of sender_facts, receiver_facts",
        ),
        (
            _set(missing={"sender_facts": "drop"}),
            "feature_view.missing: 'drop' of sender_facts is none of null, impute, error",
        ),
        (
            _set(missing={"sender_facts": "impute"}),
            "feature_view.missing: sender_facts is impute, and no transform fills sender_balance",
        ),
        (
            _set(missing={"sender_facts": "error"}, features=["amount"], transforms=[]),
            "feature_view.missing: sender_facts has a rule, and no feature that comes online from "
            "it",
        ),
        (_set(keep_versions=0), "feature_view.keep_versions: 0 is not above 0"),
        (_set(keep_versions="2"), "feature_view.keep_versions: '2' is not a whole number"),
        (_set(owner=["me"]), "feature_view.owner: ['me'] is not a text"),
        (_set(transforms="scale"), f"feature_view.transforms: 'scale' {A_STEP}"),
        (_set(transforms=["scale"]), f"feature_view.transforms: ['scale'] {A_STEP}"),
    ],
)
def test_a_view_that_cannot_be_is_told_with_file_model_and_key(
    changed: Read, change: Change, told: str
) -> None:
    with pytest.raises(BadRegistry) as refused:
        changed(change)

    assert str(refused.value) == f"models/models.yml: model {VIEW}: {told}"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("_views", "a view name cannot begin with an underscore"),
        ("a.b", "a view name has letters, digits and underscores alone"),
        ("labels", "'labels' is the published table of the labels"),
    ],
)
def test_a_name_that_no_view_can_have_is_told(changed: Read, name: str, told: str) -> None:
    with pytest.raises(BadRegistry) as refused:
        changed(lambda body: body["nodes"][NODE].update(name=name))

    assert str(refused.value) == f"models/models.yml: model {name}: name: {told}"


A_NUMBER = "a number is needed, and the column is"
NUMBERS = "needs boundaries, a list of numbers"
HALF = "value belongs to with: constant, and it needs one"
PLAIN = "a category is a text, a number, true or false"


@pytest.mark.parametrize(
    ("kind", "column", "options", "told"),
    [
        ("scale", "sender_level", {}, f"{A_NUMBER} string"),
        ("log1p", "sender_level", {}, f"{A_NUMBER} string"),
        ("one_hot_encode", "amount", {}, "a category is needed, and the column is double"),
        ("ordinal_encode", "sender_score", {}, "a category is needed, and the column is decimal"),
        ("scale", "amount", {"with": 1}, "unknown option 'with'; known: none"),
        ("clip", "amount", {"low": 1}, "unknown option 'low'; known: min, max"),
        ("clip", "amount", {}, "needs min, max or both"),
        ("clip", "amount", {"min": "1"}, "min and max are numbers"),
        ("clip", "amount", {"max": True}, "min and max are numbers"),
        ("clip", "amount", {"max": float("nan")}, "min and max are numbers"),
        ("clip", "amount", {"max": 10**400}, "min and max are numbers"),
        ("clip", "amount", {"min": 2, "max": 1}, "min is above max"),
        ("bucketize", "amount", {}, NUMBERS),
        ("bucketize", "amount", {"boundaries": []}, NUMBERS),
        ("bucketize", "amount", {"boundaries": [1, "2"]}, NUMBERS),
        ("bucketize", "amount", {"boundaries": [1, 1]}, "boundaries must ascend"),
        ("impute", "amount", {}, "needs with: mean, median or constant"),
        ("impute", "amount", {"with": "mode"}, "needs with: mean, median or constant"),
        ("impute", "amount", {"with": "constant"}, HALF),
        ("impute", "amount", {"with": "mean", "value": 1}, HALF),
        (
            "impute",
            "amount",
            {"with": "constant", "value": [1]},
            "value is a number, a text, true or false",
        ),
        ("impute", "amount", {"with": "constant", "value": "1"}, "value '1' is not of its type"),
        ("impute", "sender_level", {"with": "constant", "value": 1}, "value 1 is not of its type"),
        ("ordinal_encode", "sender_level", {"categories": []}, "categories is a list of them"),
        ("ordinal_encode", "sender_level", {"categories": "a"}, "categories is a list of them"),
        ("ordinal_encode", "sender_level", {"categories": ["a", None]}, PLAIN),
        ("one_hot_encode", "sender_level", {"categories": [["a"]]}, PLAIN),
        ("one_hot_encode", "sender_level", {"categories": [1, "1"]}, "a category is named twice"),
    ],
)
def test_a_step_that_cannot_be_is_told(
    changed: Read, kind: str, column: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadRegistry) as refused:
        changed(_set(transforms=[{"type": kind, "column": column, **options}]))

    assert str(refused.value).startswith(
        f"models/models.yml: model {VIEW}: feature_view.transforms[0]: {kind} of {column}: {told}"
    )


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([{"column": "amount"}], f"transforms[0]: unknown type None; known: {TYPES}"),
        (
            [DECLARED[0], {"type": "sqrt", "column": "amount"}],
            f"transforms[1]: unknown type 'sqrt'; known: {TYPES}",
        ),
        (
            [{"type": "scale", "column": "label"}],
            f"transforms[0]: scale of 'label': no such feature; there are {NAMES}",
        ),
        (
            [DECLARED[2], {"type": "impute", "column": "sender_level", "with": "mean"}],
            "transforms[1]: impute of sender_level: nothing can follow one_hot_encode",
        ),
        (
            [
                {"type": "ordinal_encode", "column": "sender_level"},
                {"type": "impute", "column": "sender_level", "with": "constant", "value": "x"},
            ],
            "transforms[1]: impute of sender_level: value 'x' is not of its type",
        ),
    ],
)
def test_a_step_in_a_chain_is_told_by_its_place(
    changed: Read, steps: list[dict[str, Any]], told: str
) -> None:
    with pytest.raises(BadRegistry) as refused:
        changed(_set(transforms=steps))

    assert str(refused.value) == f"models/models.yml: model {VIEW}: feature_view.{told}"


def test_the_list_of_known_transforms_is_that_of_the_code() -> None:
    assert ", ".join(TRANSFORMS) == TYPES
