"""
Vectors: what a model is given, made of a view's features by one version of its parameters.

Owns the names, types and order of what comes out, and the way of a row through its chains. Pure:
values in, values out. Refuses a value it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import zip_longest
from typing import Any, TypeAlias

from materializer.registry import Column, Feature, FeatureView, FittedStep, ViewVersion
from materializer.transforms import (
    ONE_HOT,
    TRANSFORMS,
    category_text,
    finite,
    kind_for,
    reader,
    type_after,
)

# One feature's way: from its value to one value, or of one_hot_encode to one a category.
Chain: TypeAlias = Callable[[Any], Any]


def outputs(version: ViewVersion) -> tuple[Column, ...]:
    """
    Name the columns of a vector, in order.

    A feature keeps its name and its place. One that ends in `one_hot_encode` becomes a column a
    category, `<feature>__<category>`, in the order of the categories.
    """
    return tuple(column for feature in version.features for column in outputs_of(feature))


def outputs_of(feature: Feature) -> list[Column]:
    """Name the columns that a feature with fitted steps becomes, in order."""
    kind = feature.type
    for step in feature.steps:
        kind = type_after(TRANSFORMS[step.transform], kind)
    if not _is_one_hot(feature):
        return [Column(feature.name, kind)]
    categories = feature.steps[-1].parameters["categories"]
    return [Column(f"{feature.name}__{category}", kind) for category in categories]


class Vectors:
    """
    Makes the vectors of one version. Safe for threads.

    Attributes:
        version: The version.
        version_id: Its id, worked out once.
        columns: Names and types of what comes out, c of them.
    """

    def __init__(self, version: ViewVersion) -> None:
        self.version = version
        self.version_id = version.id
        self.columns = outputs(version)
        self._chains = [(_chain(feature), _is_one_hot(feature)) for feature in version.features]

    def make(self, values: Sequence[Any]) -> list[Any]:
        """
        Make one vector.

        Args:
            values: One value a feature, in the order of the version; None where there is none.

        Returns:
            c values.

        Raises:
            ValueError: A value is not of its feature's type.
        """
        vector: list[Any] = []
        for (chain, is_one_hot), value in zip(self._chains, values, strict=True):
            if is_one_hot:
                vector += chain(value)
            else:
                vector.append(chain(value))
        return vector


def _is_one_hot(feature: Feature) -> bool:
    return bool(feature.steps) and feature.steps[-1].transform == ONE_HOT


def _chain(feature: Feature) -> Chain:
    if not feature.steps:
        return _finite_or_as_is if feature.type == "double" else _as_is
    links: list[Chain] = []
    kind = feature.type
    for step in feature.steps:
        transform = TRANSFORMS[step.transform]
        links += [reader(kind, kind_for(transform, kind)), transform.step(step.parameters)]
        kind = type_after(transform, kind)

    def chain(value: Any) -> Any:
        for link in links:
            value = link(value)
        return value

    return chain


def _as_is(value: Any) -> Any:
    return value


def _finite_or_as_is(value: Any) -> Any:
    return None if value is None else finite(value)


def fitted(view: FeatureView, rows: Sequence[Mapping[str, Any]]) -> ViewVersion:
    """
    Put the parameters that the warehouse holds into a declared view.

    Args:
        view: The view.
        rows: The model of its parameters: `feature`, `transform`, `parameters` (read from JSON),
            `fitted_on_rows` and `train_until`, in the order of position and step.

    Raises:
        ValueError: They are not those of this view; it was not built since it was changed.
    """
    steps: dict[str, list[FittedStep]] = {}
    for row in rows:
        chain = steps.setdefault(row["feature"], [])
        if row["transform"] is not None:
            chain.append(FittedStep(row["transform"], row["parameters"]))
    names = [feature.name for feature in view.features]
    if list(steps) != names:
        raise ValueError(f"its parameters are of {', '.join(steps) or 'nothing'}")
    for feature in view.features:
        for declared, built in zip_longest(feature.steps, steps[feature.name]):
            if declared is None or built is None or not _is_of(declared, built):
                raise ValueError(f"its parameters of {feature.name} are those of other transforms")
    if rows[0]["train_until"] != datetime.fromisoformat(view.train_until):
        raise ValueError(f"its parameters were fitted on the rows before {rows[0]['train_until']}")
    return ViewVersion(
        view=view.name,
        description=view.description,
        owner=view.owner,
        training_set=view.training_set,
        label=view.label,
        train_until=view.train_until,
        fitted_on_rows=rows[0]["fitted_on_rows"],
        keys=view.keys,
        joins=view.joins,
        features=tuple(
            replace(feature, steps=tuple(steps[feature.name])) for feature in view.features
        ),
    )


def _is_of(declared: FittedStep, built: FittedStep) -> bool:
    """Tell whether a step was built as it is declared; what it was fitted to may be anything."""
    options = {
        name: [category_text(one) for one in value] if name == "categories" else value
        for name, value in declared.parameters.items()
        if name in built.parameters and value is not None
    }
    return declared.transform == built.transform and all(
        built.parameters[name] == value for name, value in options.items()
    )
