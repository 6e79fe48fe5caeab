"""
The values of a feature view: which model is served what, and how it was trained.

Owns two of them. A `FeatureView` is what a project declares. A `ViewVersion` is that with fitted
parameters, whole in itself: whoever has its text can make vectors, whatever the project says by
then. Refuses to read a file, and to compute.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from materializer.registry.model import Column

IMPUTE, NULL, ERROR = "impute", "null", "error"
# A view's own column: train or holdout.
SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Join:
    """
    One group from which a view has features.

    Attributes:
        name: What the view calls it: the group, after the prefix of its columns.
        group: Name of the group.
        on: Each key column of the group, and the key of the view that it is matched with.
        missing: What an entity without a row means: `null` and `impute`, its columns are null and
            go through their transforms, each of which imputes them under `impute`; `error`, there
            is no vector.
    """

    name: str
    group: str
    on: tuple[tuple[str, str], ...]
    missing: str


@dataclass(frozen=True, slots=True)
class FittedStep:
    """
    One step of a feature's chain.

    Attributes:
        transform: Its type.
        parameters: What it was fitted to; in a view that is only declared, its options.
    """

    transform: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Feature:
    """
    One column that a view takes, before its transforms.

    Attributes:
        name: Its name in the training set.
        type: Its type there.
        join: Name of the join it comes from, None when only a request can bring it.
        column: Its name in that group, None likewise.
        steps: Its transforms, in order.
    """

    name: str
    type: str
    join: str | None
    column: str | None
    steps: tuple[FittedStep, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureView:
    """
    A model with `meta.feature_view`: a training set, transformed for one model.

    Attributes:
        name: Model name.
        unique_id: dbt's id of the model.
        relation_name: Quoted relation in the warehouse.
        description: The model's description, whole.
        owner: Who answers for it, or None.
        training_set: Name of the training set whose rows it transforms.
        label: Column with the label.
        label_type: Its type.
        time: Column with the time of a row.
        train_until: UTC time before which a row is for training; those from it on are held out.
        keys: What a vector is asked for by.
        joins: The groups that have a feature of it, in the order of the training set; its own
            group first, when it is one.
        features: What goes in, in the order in which it comes out.
        parameters: Name of the model with the fitted parameters.
        parameters_id: dbt's id of it.
        parameters_relation: Its quoted relation in the warehouse.
        keep_versions: How many versions stay, the newest; None keeps all.
    """

    name: str
    unique_id: str
    relation_name: str
    description: str
    owner: str | None
    training_set: str
    label: str
    label_type: str
    time: str
    train_until: str
    keys: tuple[Column, ...]
    joins: tuple[Join, ...]
    features: tuple[Feature, ...]
    parameters: str
    parameters_id: str
    parameters_relation: str
    keep_versions: int | None = None


@dataclass(frozen=True, slots=True)
class ViewVersion:
    """
    One version of a view: all that is needed to make its vectors, for good.

    Attributes:
        view: Name of the view.
        description: What it is for.
        owner: Who answers for it, or None.
        training_set: Name of the training set it was fitted on.
        label: Column with the label.
        train_until: UTC time before which the rows were fitted on.
        fitted_on_rows: How many these were.
        keys: What a vector is asked for by; name and type.
        joins: The groups.
        features: What goes in, with fitted steps.
    """

    view: str
    description: str
    owner: str | None
    training_set: str
    label: str
    train_until: str
    fitted_on_rows: int
    keys: tuple[Column, ...]
    joins: tuple[Join, ...]
    features: tuple[Feature, ...]

    @property
    def text(self) -> str:
        """The JSON in which a version is kept, pushed and read."""
        body = asdict(self)
        body["keys"] = [{"name": key.name, "type": key.type} for key in self.keys]
        for join in body["joins"]:
            join["on"] = dict(join["on"])
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @property
    def id(self) -> str:
        """
        Name the version: eight hexadecimal digits of the SHA-256 of what makes its vectors.

        So the same parameters have the same name whenever they are fitted, and a better
        description does not make another version.
        """
        body = json.loads(self.text)
        for name in ("description", "owner", "fitted_on_rows"):
            del body[name]
        text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @classmethod
    def from_text(cls, text: str) -> ViewVersion:
        """
        Read what `text` wrote.

        Raises:
            ValueError, KeyError, TypeError: It is something else.
        """
        body = json.loads(text)
        body["keys"] = tuple(Column(**key) for key in body["keys"])
        body["joins"] = tuple(
            Join(**{**join, "on": tuple(join["on"].items())}) for join in body["joins"]
        )
        body["features"] = tuple(
            Feature(**{**feature, "steps": tuple(FittedStep(**s) for s in feature["steps"])})
            for feature in body["features"]
        )
        return cls(**body)
