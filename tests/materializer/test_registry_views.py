"""
A model becomes a feature view, or is refused in one line that names file, model and key.

What a view's meta means is worked out by dbt: a project has a view for each case, and is run once.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from materializer.registry import FeatureView
from materializer.views.definition import (
    Feature,
    FittedStep,
    Join,
    ViewVersion,
    built_version,
)
from materializer.views.transforms import TRANSFORMS
from tests.serve.payments import FIRST_VERSION
from tests.support.changed_manifest import Change, Read
from tests.support.transfers import TRANSFORMS as DECLARED
from tests.support.transfers import parsed_transfers
from tests.support.view_cases import ViewCases
from tests.support.view_project import VIEW

NODE = f"model.views.{VIEW}"
TRAINING = "model.views.training"
PARAMETERS = f"model.views.{VIEW}_parameters"


# What the materializer reads of a declaration


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = parsed_transfers(tmp_path_factory).target / "manifest.json"
    body = json.loads(path.read_text())
    # Models of the package are not in it: it is as small as a test can change and read.
    nodes = {name: node for name, node in body["nodes"].items() if ".views." in name}
    small = {"nodes": nodes, "sources": body["sources"]}
    return Read(json.dumps(small), tmp_path_factory.mktemp("changed"))


def _set(**meta: object) -> Change:
    return lambda body: body["nodes"][NODE]["config"]["meta"]["feature_view"].update(meta)


def _without(key: str) -> Change:
    return lambda body: body["nodes"][NODE]["config"]["meta"]["feature_view"].pop(key)


def _refs(*ids: str) -> Change:
    return lambda body: body["nodes"][NODE]["depends_on"].update(nodes=list(ids))


def _view(declared: dict[str, Any]) -> FeatureView:
    return FeatureView(
        name=VIEW,
        unique_id=NODE,
        relation_name=f'"warehouse"."feature_store"."{VIEW}"',
        description="What is transferred.",
        owner="risk",
        training_set="training",
        label="label",
        time="asked_at",
        train_until="2024-02-01",
        declared=declared,
        parameters=f"{VIEW}_parameters",
        parameters_id=PARAMETERS,
        parameters_relation=f'"warehouse"."feature_store"."{VIEW}_parameters"',
    )


def test_a_model_with_the_meta_is_a_view(changed: Read) -> None:
    declared = {
        "training_set": "training",
        "label": "label",
        "train_until": "2024-02-01",
        "transforms": list(DECLARED),
        "owner": "risk",
        "keep_versions": 2,
    }

    view = changed(_set(owner="risk", keep_versions=2)).views[VIEW]

    assert view == replace(_view(declared), description="", keep_versions=2)


def test_a_version_reads_back_the_same_and_has_the_same_name() -> None:
    read = ViewVersion.from_text(FIRST_VERSION.text)

    assert (read, read.text, read.id) == (FIRST_VERSION, FIRST_VERSION.text, FIRST_VERSION.id)


KEYS = "training_set, label, train_until, features, transforms, missing, keep_versions, owner"
NO_SET = "feature_view.training_set: 'training' is not a training set this model refs"
ONE_MORE = "feature_view.training_set: next to it the view refs one model, that of its parameters"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda body: body["nodes"][NODE]["config"]["meta"].update(feature_view=["x"]),
            f"feature_view: should be a mapping, not ['x']; known keys: {KEYS}",
        ),
        (
            _set(lable="x"),
            f"feature_view.lable: unknown key; did you mean label? known: {KEYS}",
        ),
        (_set(colour="x"), f"feature_view.colour: unknown key; known: {KEYS}"),
        (_without("training_set"), "feature_view.training_set: is missing"),
        (_without("label"), "feature_view.label: is missing"),
        (_set(train_until=None), "feature_view.train_until: is missing"),
        (_set(training_set=7), "feature_view.training_set: should be a valid string, not 7"),
        (
            _set(training_set="facts"),
            "feature_view.training_set: 'facts' is not a training set this model refs",
        ),
        (_refs(PARAMETERS), NO_SET),
        (_refs(TRAINING), ONE_MORE),
        (_refs(TRAINING, PARAMETERS, "model.views.facts"), ONE_MORE),
        (
            lambda body: body["nodes"][TRAINING]["config"]["meta"].pop("point_in_time"),
            "feature_view.training_set: training is not built with point_in_time_join",
        ),
        (
            _set(train_until=20240201),
            "feature_view.train_until: should be a valid string, not 20240201",
        ),
        (_set(features="amount"), "feature_view.features: should be a valid list, not 'amount'"),
        (_set(keep_versions=0), "feature_view.keep_versions: should be greater than 0, not 0"),
        (
            _set(keep_versions="2"),
            "feature_view.keep_versions: should be a valid integer, not '2'",
        ),
        (_set(owner=["me"]), "feature_view.owner: should be a valid string, not ['me']"),
        (
            _set(transforms=["scale"]),
            "feature_view.transforms[0]: should be a valid dictionary, not 'scale'",
        ),
        (
            _set(missing=["facts"]),
            "feature_view.missing: should be a valid dictionary, not ['facts']",
        ),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused(
    changed: Read, change: Change, message: str
) -> None:
    assert changed.problem(change) == f"models/models.yml: model {VIEW}: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("_views", "a view name cannot begin with an underscore"),
        ("a.b", "a view name has only letters, digits and underscores"),
        ("labels", "'labels' is the published table of the labels"),
    ],
)
def test_a_name_that_no_view_can_have_is_refused(changed: Read, name: str, message: str) -> None:
    said = changed.problem(lambda body: body["nodes"][NODE].update(name=name))

    assert said == f"models/models.yml: model {name}: name: {message}"


# What dbt makes of it: tests/materializer/view_cases.yml has a view for each case.

CASES: dict[str, Any] = yaml.safe_load(
    Path(__file__).with_name("view_cases.yml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> ViewCases:
    """Give the project of all cases, of which dbt ran the parameters once."""
    return ViewCases(tmp_path_factory.mktemp("cases") / "project", CASES)


def _feature(who: str, name: str, kind: str, join: str | None = "") -> dict[str, Any]:
    join = f"{who}_facts" if join == "" else join
    column = None if join is None else name
    return {"name": f"{who}_{name}", "type": kind, "join": join, "column": column}


def _key(name: str) -> dict[str, str]:
    return {"name": name, "type": "string"}


def test_what_a_view_is_is_recorded_with_its_parameters(cases: ViewCases) -> None:
    types = {"balance": "double", "level": "string", "score": "decimal(9,2)"}
    sides = ("sender", "receiver")

    assert cases.definition("whole") == {
        "training_set": "training",
        "label": "label",
        "train_until": "2024-02-01",
        "keys": [_key(who) for who in sides],
        "joins": [
            {"name": f"{who}_facts", "group": "facts", "on": {"id": who}, "missing": "null"}
            for who in sides
        ],
        "features": [
            {"name": "amount", "type": "double", "join": None, "column": None},
            *(_feature(who, name, kind) for who in sides for name, kind in types.items()),
        ],
    }


def test_a_group_without_a_feature_need_not_be_there_for_a_vector(cases: ViewCases) -> None:
    view = cases.definition("one_group")

    assert [join["name"] for join in view["joins"]] == ["receiver_facts"]
    assert view["keys"] == [_key("sender"), _key("receiver")]


def test_a_group_that_is_not_online_has_no_features_that_come_from_it(cases: ViewCases) -> None:
    view = cases.definition("offline")

    assert view["joins"] == []
    assert {feature["join"] for feature in view["features"]} == {None}


def test_a_column_that_is_not_online_can_come_with_a_request_alone(cases: ViewCases) -> None:
    joins = {one["name"]: one["join"] for one in cases.definition("half_online")["features"]}

    assert (joins["sender_balance"], joins["sender_score"]) == (None, "sender_half_online_facts")


def test_rows_of_a_group_are_found_by_its_own_key(cases: ViewCases) -> None:
    view = cases.definition("own_rows")

    assert view["joins"] == [
        {"name": "facts", "group": "facts", "on": {"id": "id"}, "missing": "null"}
    ]
    assert view["features"] == [
        {"name": "balance", "type": "double", "join": "facts", "column": "balance"}
    ]


@pytest.mark.parametrize(
    ("view", "rule"),
    [("rule_null", "null"), ("rule_of_yaml", "null"), ("rule_error", "error")],
)
def test_a_rule_is_of_one_join(cases: ViewCases, view: str, rule: str) -> None:
    assert [join["missing"] for join in cases.definition(view)["joins"]] == ["null", rule]


def test_impute_needs_a_value_in_the_place_of_each_feature(cases: ViewCases) -> None:
    [join] = cases.definition("rule_impute")["joins"]

    assert join["missing"] == "impute"


@pytest.mark.parametrize(
    ("view", "until"),
    [
        ("until_date", "2024-02-01"),
        ("until_minute", "2024-02-01 12:00"),
        ("until_second", "2024-02-01T12:00:00"),
        ("until_microsecond", "2024-02-01 12:00:00.000001"),
    ],
)
def test_a_view_is_trained_until_a_date_or_a_time(cases: ViewCases, view: str, until: str) -> None:
    assert cases.definition(view)["train_until"] == until


def test_a_version_is_what_was_declared_and_what_was_fitted(cases: ViewCases) -> None:
    version = built_version(
        _view(cases.declared("whole")), cases.parameters_in("whole"), lambda group: None
    )

    assert (version.view, version.owner, version.fitted_on_rows) == (VIEW, "risk", 44)
    assert version.joins[0] == Join("sender_facts", "facts", {"id": "sender"}, "null")
    assert version.features[0] == Feature(
        "amount", "double", None, None, (FittedStep("log1p", {}),)
    )


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"owner": "me", "keep_versions": 3}, False),
        ({"missing": {"sender_facts": "error"}}, True),
        ({"train_until": "2024-02-02"}, True),
    ],
)
def test_a_view_that_is_declared_otherwise_since_it_was_built_has_no_version(
    cases: ViewCases, change: dict[str, Any], is_another: bool
) -> None:
    view = _view({**cases.declared("whole"), **change})

    if not is_another:
        assert built_version(view, cases.parameters_in("whole"), lambda group: None)
        return
    with pytest.raises(ValueError, match="its meta was changed since it was built"):
        built_version(view, cases.parameters_in("whole"), lambda group: None)


WORDS = {
    "keys": KEYS,
    "no_time": "is not a UTC date or time; write 2024-02-15",
    "taken": "is a key, the time, the label or the split",
    "a_step": "should be a list such as - {type: scale, column: <name>}",
    "types": "scale, min_max, log1p, clip, bucketize, impute, ordinal_encode, one_hot_encode",
    "names": "amount, sender_balance, sender_level, sender_score, receiver_balance, "
    "receiver_level, receiver_score",
    "half": "value belongs to with: constant, and it needs one",
    "plain": "a category is a string, a number, true or false",
}


@pytest.mark.parametrize("name", CASES["refused"])
def test_a_view_that_cannot_be_is_refused_with_file_model_and_key(
    cases: ViewCases, name: str
) -> None:
    case = CASES["refused"][name]
    message = case.get("message")
    if message is None:
        step = case["step"]
        message = f".transforms[0]: {step['type']} of {step['column']}: {case['problem']}"
    for word, text in WORDS.items():
        message = message.replace(f"{{{word}}}", text)

    assert cases.error(name) == f"models/models.yml: model {name}: feature_view{message}"


def test_the_list_of_known_transforms_is_that_of_the_code() -> None:
    assert ", ".join(TRANSFORMS) == WORDS["types"]
