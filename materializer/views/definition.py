"""
One version of a feature view: what it is served from, and what its transforms were fitted to.

Responsible for its values and for their JSON: whoever has a version's text can make its vectors,
whatever the project declares by then. Does not work out what a view's meta means: dbt recorded it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from materializer.registry import Column, FeatureView
from materializer.views.transforms import ONE_HOT, TRANSFORMS

# The value of `missing` by which an entity without a row has no vector.
ERROR = "error"
# A view's own column: train or holdout.
SPLIT = "split"

# Keys of a view's meta that change neither its rows nor its vectors.
_ABOUT = ("owner", "keep_versions")


@dataclass(frozen=True, slots=True)
class Join:
    """
    One group from which a view has features.

    Attributes:
        name: What the view calls it: the group, after the prefix of its columns.
        on: Each key column of the group, and the key of the view that it is matched with.
        missing: What an entity without a row means: `null` and `impute`, its columns are null and
            go through their transforms, each of which imputes them under `impute`; `error`, there
            is no vector.
        definition: That of the group on whose rows the view was fitted.
    """

    name: str
    group: str
    on: Mapping[str, str]
    missing: str
    definition: str | None = None


@dataclass(frozen=True, slots=True)
class FittedStep:
    """One step of a feature's chain: the type of its transform, and what that was fitted to."""

    transform: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Feature:
    """
    One column that a view takes, before its transforms.

    Attributes:
        name: Its name in the training set, where it has this type.
        join: Name of the join it comes from, None when only a request can bring it.
        column: Its name in that group, None likewise.
    """

    name: str
    type: str
    join: str | None
    column: str | None
    steps: tuple[FittedStep, ...] = ()

    @property
    def is_one_hot(self) -> bool:
        """Whether it becomes one column for each category."""
        return bool(self.steps) and self.steps[-1].transform == ONE_HOT

    @property
    def columns(self) -> tuple[Column, ...]:
        """What it becomes in a vector: one column, after `one_hot_encode` one for each category."""
        kind = self.type
        for step in self.steps:
            kind = TRANSFORMS[step.transform].type_after(kind)
        if not self.is_one_hot:
            return (Column(self.name, kind),)
        categories = self.steps[-1].parameters["categories"]
        return tuple(Column(f"{self.name}__{category}", kind) for category in categories)


@dataclass(frozen=True, slots=True)
class ViewVersion:
    """
    One version of a view: all that is needed to make its vectors.

    Attributes:
        train_until: UTC time; it was fitted on the rows before.
        keys: The keys of a vector; name and type.
        joins: The groups that have a feature of it, in the order of the training set; its own
            group first, when it is one.
        features: In the order of the vector.
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
    def columns(self) -> tuple[Column, ...]:
        """The columns of a vector, in order."""
        return tuple(column for feature in self.features for column in feature.columns)

    @property
    def text(self) -> str:
        """The JSON in which a version is kept, pushed and read."""
        body = {**asdict(self), "keys": [{"name": key.name, "type": key.type} for key in self.keys]}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @property
    def id(self) -> str:
        """
        The name of the version: eight hexadecimal digits of the SHA-256 of what makes its vectors.

        So the same parameters have the same name whenever they are fitted, and a better
        description does not make another version.
        """
        body = json.loads(self.text)
        for name in ("description", "owner", "fitted_on_rows"):
            del body[name]
        text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def outdated_groups(self, definitions: Mapping[str, str | None]) -> list[str]:
        """Return the groups that have another definition now, given those by name."""
        joined = {join.group: join.definition for join in self.joins}
        return [
            group for group, fitted in joined.items() if definitions.get(group, fitted) != fitted
        ]

    @classmethod
    def from_text(cls, text: str) -> ViewVersion:
        """Read what `text` returned; raise ValueError for anything else."""
        # Python's reader rounds each number to the nearest double, as DuckDB wrote it.
        return _VERSION.validate_python(json.loads(text))


_VERSION = TypeAdapter(ViewVersion)


def built_version(
    view: FeatureView, rows: Sequence[Mapping[str, Any]], definition_of: Callable[[str], str | None]
) -> ViewVersion:
    """
    Return the version that dbt built.

    Args:
        view: As it is declared now.
        rows: The model of its parameters, `feature`, `transform`, `parameters` (read from JSON) and
            `fitted_on_rows`, in the order of position and step. The first row is the view itself:
            its parameters are its definition.
        definition_of: Returns the definition of the group of a name, on whose rows it was fitted.

    Raises:
        ValueError: The view was declared otherwise when it was built.
    """
    itself, *fitted = rows
    definition = dict(itself["parameters"])
    declared = {key: value for key, value in view.declared.items() if key not in _ABOUT}
    if definition.pop("declared") != declared:
        raise ValueError("its meta was changed since it was built")
    steps: dict[str, list[dict[str, Any]]] = {}
    for row in fitted:
        chain = steps.setdefault(row["feature"], [])
        if row["transform"] is not None:
            chain.append({"transform": row["transform"], "parameters": row["parameters"]})
    features = [{**feature, "steps": steps[feature["name"]]} for feature in definition["features"]]
    definition["joins"] = [
        {**join, "definition": definition_of(join["group"])} for join in definition["joins"]
    ]
    about = {"view": view.name, "description": view.description, "owner": view.owner}
    fitted_on = {"fitted_on_rows": itself["fitted_on_rows"]}
    return _VERSION.validate_python({**definition, **about, **fitted_on, "features": features})
