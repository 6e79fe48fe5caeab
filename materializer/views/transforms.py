"""
The transforms of feature views, one value at a time.

Responsible for what each transform makes of a value, to the last bit as its macro in
dbt_project/macros/transforms/ does: the same operations on doubles in the same order; what they
mean is in docs/reference/transforms.md. Does not fit: parameters come from the SQL that fitted
them, which has also checked the options.

A null stays null, except in impute and one_hot_encode. A result that is not a finite double is
null, and so is anything from a parameter that is null: nothing is known of a column that had no
value in the training rows.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["number", "category", "any"]
Step: TypeAlias = Callable[[Any], Any]
Parameters: TypeAlias = Mapping[str, Any]

ONE_HOT = "one_hot_encode"


@dataclass(frozen=True, slots=True)
class Transform:
    """
    One transform.

    Attributes:
        takes: What it needs: a number, a category, or either.
        gives: Type of its result; None for the type that impute leaves.
        step: Returns the function of one value, for fitted parameters.
    """

    takes: Kind
    gives: str | None
    step: Callable[[Parameters], Step]

    def reader(self, given: str) -> Step:
        """Return the function that reads a value of a type, as a store or a client gives it."""
        is_category = self.takes == "category" or (self.takes == "any" and given == "string")
        if not is_category:
            return _number
        return _category if given in ("int64", "boolean", "date") else _unchanged

    def type_after(self, given: str) -> str:
        """Return the type of its result for a column of a type."""
        return self.gives or ("string" if given == "string" else "double")


def _unchanged(value: Any) -> Any:
    return value


def finite(value: float) -> float | None:
    """Return a double, null in place of NaN and infinity."""
    return value if math.isfinite(value) else None


def _number(value: Any) -> float | None:
    if value is None or type(value) is float:
        return None if value is None else finite(value)
    # A decimal is its text, and float() reads that to the nearest double.
    return finite(float(value if isinstance(value, int | float) else str(value)))


def _category(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shift_and_divide(shift: str, divisor: str, parameters: Parameters) -> Step:
    subtracted, divided_by = parameters[shift], parameters[divisor]
    if subtracted is None or divided_by is None:
        return lambda x: None
    return lambda x: None if x is None else finite((x - subtracted) / divided_by)


def _log1p(parameters: Parameters) -> Step:
    def step(x: float | None) -> float | None:
        if x is None or 1.0 + x <= 0:
            return None
        more = 1.0 + x
        # The macro says why; math.log1p would differ from it in the last bit.
        return x if more == 1 else finite(math.log(more) * (x / (more - 1)))

    return step


def _clip(parameters: Parameters) -> Step:
    low, high = parameters["min"], parameters["max"]

    def step(x: float | None) -> float | None:
        if x is None:
            return None
        if low is not None and x < low:
            return float(low)
        return float(high) if high is not None and x > high else x

    return step


def _bucketize(parameters: Parameters) -> Step:
    boundaries: Sequence[float] = parameters["boundaries"]
    return lambda x: None if x is None else bisect_right(boundaries, x)


def _impute(parameters: Parameters) -> Step:
    value = parameters["value"]
    return lambda x: value if x is None else x


def _ordinal_encode(parameters: Parameters) -> Step:
    indexes = {category: index for index, category in enumerate(parameters["categories"])}
    return lambda x: None if x is None else indexes.get(x, -1)


def _one_hot_encode(parameters: Parameters) -> Step:
    categories: list[str] = parameters["categories"]
    nothing = [0] * len(categories)
    rows = {category: [int(category == other) for other in categories] for category in categories}
    return lambda x: rows.get(x, nothing)


TRANSFORMS: Mapping[str, Transform] = {
    "scale": Transform("number", "double", partial(_shift_and_divide, "mean", "scale")),
    "min_max": Transform("number", "double", partial(_shift_and_divide, "min", "range")),
    "log1p": Transform("number", "double", _log1p),
    "clip": Transform("number", "double", _clip),
    "bucketize": Transform("number", "int64", _bucketize),
    "impute": Transform("any", None, _impute),
    "ordinal_encode": Transform("category", "int64", _ordinal_encode),
    ONE_HOT: Transform("category", "int64", _one_hot_encode),
}
