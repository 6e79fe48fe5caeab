"""
Vectors: what a model is given, made of a view's features by one version of its parameters.

Responsible for the names, types and order of what comes out, and for passing a row through its
chains. Does no input or output. Refuses a value it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from materializer.registry import Column
from materializer.views.definition import Feature, ViewVersion
from materializer.views.transforms import (
    ONE_HOT,
    TRANSFORMS,
    Step,
    finite,
    kind_for,
    reader,
    type_after,
)

# What one feature becomes: one value, or one a category. Nobody changes it, for it may be shared.
Part: TypeAlias = Sequence[Any]
Chain: TypeAlias = Callable[[Any], Part]


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


@dataclass(frozen=True, slots=True)
class Way:
    """
    One feature's way into a vector.

    Attributes:
        name: Name of the feature.
        chain: From its value to its part of the vector.
        join: Place of its join in the version, None when only a request can bring it.
        column: Its name in that group; empty likewise.
        nth: Its place among the features of that join.
    """

    name: str
    chain: Chain
    join: int | None
    column: str
    nth: int


class Vectors:
    """
    Makes the vectors of one version. Safe for threads.

    Attributes:
        version: The version.
        version_id: Its id, worked out once.
        columns: Names and types of what comes out, c of them.
        names: Their names.
        types: Their types.
        ways: The way of each feature, in the order of the version.
    """

    def __init__(self, version: ViewVersion) -> None:
        self.version = version
        self.version_id = version.id
        self.columns = outputs(version)
        self.names = [column.name for column in self.columns]
        self.types = [column.type for column in self.columns]
        joins = [join.name for join in version.joins]
        of_join: list[list[Way]] = [[] for _ in joins]
        ways = []
        for feature in version.features:
            join = None if feature.join is None else joins.index(feature.join)
            own = [] if join is None else of_join[join]
            way = Way(feature.name, _chain(feature), join, feature.column or "", len(own))
            own.append(way)
            ways.append(way)
        self.ways = tuple(ways)
        self._of_join = of_join

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
        for way, value in zip(self.ways, values, strict=True):
            vector += way.chain(value)
        return vector

    def parts(self, join: int, row: Mapping[str, Any] | None) -> list[Part | None]:
        """
        Make what one row of a group becomes in a vector.

        Args:
            join: Place of the join in the version.
            row: Its values by column; None when there is no row.

        Returns:
            The part of each feature of the join, in their order; None where the row does not have
            its column.

        Raises:
            TypeError, ValueError: A value is not of its feature's type.
        """
        if row is None:
            return [way.chain(None) for way in self._of_join[join]]
        return [
            way.chain(row[way.column]) if way.column in row else None for way in self._of_join[join]
        ]


def _is_one_hot(feature: Feature) -> bool:
    return bool(feature.steps) and feature.steps[-1].transform == ONE_HOT


def _chain(feature: Feature) -> Chain:
    if not feature.steps:
        return _finite_or_as_is if feature.type == "double" else _as_is
    links: list[Step] = []
    kind = feature.type
    for step in feature.steps:
        transform = TRANSFORMS[step.transform]
        # Between steps only whole numbers have to be read, as in the macro.
        if not links or kind == "int64":
            links.append(reader(kind, kind_for(transform, kind)))
        links.append(transform.step(step.parameters))
        kind = type_after(transform, kind)

    through = reduce(_then, links)
    return through if _is_one_hot(feature) else _then(through, _as_is)


def _then(first: Step, second: Step) -> Step:
    return lambda value: second(first(value))


def _as_is(value: Any) -> Part:
    return (value,)


def _finite_or_as_is(value: Any) -> Part:
    return (None if value is None else finite(value),)
