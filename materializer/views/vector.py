"""
Vectors: the input of a model, made of a view's features by one version of its parameters.

Responsible for the names, types and order of the columns, and for passing a row through the
transforms. Does not do input or output. Refuses a value it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from materializer.views.definition import Feature, ViewVersion
from materializer.views.transforms import TRANSFORMS, Step, finite

# What one feature becomes: one value, or one for each category. Never changed, as it may be shared.
Part: TypeAlias = Sequence[Any]
Chain: TypeAlias = Callable[[Any], Part]


@dataclass(frozen=True, slots=True)
class FeatureInput:
    """
    Where a feature comes from, and what becomes of it in a vector.

    Attributes:
        chain: Makes its part of the vector from its value.
        join: Index of its join in the version, None when only a request can bring it.
        column: Its name in that group; empty likewise.
        index: Its index among the features of that join.
    """

    name: str
    chain: Chain
    join: int | None
    column: str
    index: int


class Vectors:
    """
    Makes the vectors of one version. Safe for threads.

    Attributes:
        columns: Names and types of the values of a vector.
        inputs: The features, in the order of the version.
    """

    def __init__(self, version: ViewVersion) -> None:
        self.version = version
        self.version_id = version.id
        self.columns = version.columns
        self.names = [column.name for column in self.columns]
        self.types = [column.type for column in self.columns]
        joins = {join.name: index for index, join in enumerate(version.joins)}
        self._inputs_of_join: list[list[FeatureInput]] = [[] for _ in joins]
        self.inputs: list[FeatureInput] = []
        for feature in version.features:
            join = None if feature.join is None else joins[feature.join]
            siblings = [] if join is None else self._inputs_of_join[join]
            column = feature.column or ""
            made = FeatureInput(feature.name, _chain(feature), join, column, len(siblings))
            siblings.append(made)
            self.inputs.append(made)

    def make(self, values: Sequence[Any]) -> list[Any]:
        """
        Make one vector of one value for each feature, in the order of the version.

        Raises:
            ValueError: A value is not of its feature's type.
        """
        vector: list[Any] = []
        for feature, value in zip(self.inputs, values, strict=True):
            vector += feature.chain(value)
        return vector

    def parts(self, join: int, row: Mapping[str, Any] | None) -> list[Part | None]:
        """
        Make the parts of a vector that come from one row, by column, of the group of a join.

        Returns:
            The part of each feature of the join; None if the row does not have its column.

        Raises:
            TypeError, ValueError: A value is not of its feature's type.
        """
        inputs = self._inputs_of_join[join]
        if row is None:
            return [feature.chain(None) for feature in inputs]
        return [
            feature.chain(row[feature.column]) if feature.column in row else None
            for feature in inputs
        ]


def _chain(feature: Feature) -> Chain:
    if not feature.steps:
        return _finite_or_as_is if feature.type == "double" else _as_is
    links: list[Step] = []
    kind = feature.type
    for step in feature.steps:
        transform = TRANSFORMS[step.transform]
        # Between steps only integers have to be converted, as in the macro.
        if not links or kind == "int64":
            links.append(transform.reader(kind))
        links.append(transform.step(step.parameters))
        kind = transform.type_after(kind)
    through = reduce(_then, links)
    return through if feature.is_one_hot else _then(through, _as_is)


def _then(first: Step, second: Step) -> Step:
    return lambda value: second(first(value))


def _as_is(value: Any) -> Part:
    return (value,)


def _finite_or_as_is(value: Any) -> Part:
    return (None if value is None else finite(value),)
