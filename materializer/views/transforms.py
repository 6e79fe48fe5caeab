"""
The transforms of feature views, one value at a time.

Owns what each transform makes of a value, to the last bit as its macro in dbt_project/macros/
transforms/ does: the same operations on doubles in the same order. Owns too which options a
definition may have. Refuses to fit: parameters come from the SQL that fitted them.

    scale             (x - mean) / scale             number    double
    min_max           (x - min) / range              number    double
    log1p             ln(1 + x), null up to -1       number    double
    clip              not below min, not above max   number    double
    bucketize         boundaries up to x, counted    number    int64
    impute            value where x is null          any       double, or string of a string
    ordinal_encode    place among the categories     category  int64, -1 for an unknown one
    one_hot_encode    1 in the column of x, else 0   category  int64, a column a category

A null stays null, but for impute and one_hot_encode, where it is 0 in each column. A result that is
no finite double is null, and so is anything from a parameter that is null: of a column that had no
value in the training rows nothing is known.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["number", "category", "any"]
Step: TypeAlias = Callable[[Any], Any]
Options: TypeAlias = Mapping[str, Any]

ONE_HOT = "one_hot_encode"

_NUMBERS = ("int64", "double", "boolean")
_CATEGORIES = ("string", "int64", "boolean", "date")


@dataclass(frozen=True, slots=True)
class Transform:
    """
    One transform.

    Attributes:
        takes: What it needs: a number, a category, or either.
        gives: Type of what it makes; None for the type that impute leaves.
        step: From fitted parameters to the function of one value.
        options: What a definition may say beside `type` and `column`.
        problem: Tells what is wrong with these options, None when nothing is.
    """

    takes: Kind
    gives: str | None
    step: Callable[[Options], Step]
    options: tuple[str, ...] = ()
    problem: Callable[[Options], str | None] = lambda options: None


def kind_for(transform: Transform, given: str) -> Kind:
    """Tell as what a transform reads a column of a type."""
    if transform.takes != "any":
        return transform.takes
    return "category" if given == "string" else "number"


def type_after(transform: Transform, given: str) -> str:
    """Name the type of what a transform makes of a column of a type."""
    if transform.gives is not None:
        return transform.gives
    return "string" if given == "string" else "double"


def can_read(given: str, kind: Kind) -> bool:
    """Tell whether a column of a type can be read as a number or as a category."""
    if kind == "category":
        return given in _CATEGORIES
    return given in _NUMBERS or given.startswith("decimal(")


def reader(given: str, kind: Kind) -> Step:
    """
    Make the function that reads a value of a type, as a store or a client gives it.

    Args:
        given: A contract's type; decimals and dates come as text or as values.
        kind: As what.
    """
    if kind == "number":
        return _number
    return category_text if given in ("int64", "boolean", "date") else _same


def _same(value: Any) -> Any:
    return value


def finite(value: float) -> float | None:
    """Give a double back, null in the place of NaN and infinity."""
    return value if math.isfinite(value) else None


def _number(value: Any) -> float | None:
    if value is None or type(value) is float:
        return None if value is None else finite(value)
    # A decimal is its text, and float() reads that to the nearest double.
    return finite(float(value if isinstance(value, int | float) else str(value)))


def category_text(value: Any) -> str | None:
    """Write a value as the category that it is."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nothing(value: Any) -> None:
    return None


def _scale(parameters: Options) -> Step:
    mean, scale = parameters["mean"], parameters["scale"]
    if mean is None or scale is None:
        return _nothing
    return lambda x: None if x is None else finite((x - mean) / scale)


def _min_max(parameters: Options) -> Step:
    low, range_ = parameters["min"], parameters["range"]
    if low is None or range_ is None:
        return _nothing
    return lambda x: None if x is None else finite((x - low) / range_)


def _log1p(parameters: Options) -> Step:
    def step(x: float | None) -> float | None:
        if x is None or 1.0 + x <= 0:
            return None
        more = 1.0 + x
        # The macro says why; math.log1p would differ from it in the last bit.
        return x if more == 1 else finite(math.log(more) * (x / (more - 1)))

    return step


def _clip(parameters: Options) -> Step:
    low, high = parameters["min"], parameters["max"]

    def step(x: float | None) -> float | None:
        if x is None:
            return None
        if low is not None and x < low:
            return float(low)
        return float(high) if high is not None and x > high else x

    return step


def _bucketize(parameters: Options) -> Step:
    boundaries: Sequence[float] = parameters["boundaries"]
    return lambda x: None if x is None else bisect_right(boundaries, x)


def _impute(parameters: Options) -> Step:
    value = parameters["value"]
    return lambda x: value if x is None else x


def _ordinal_encode(parameters: Options) -> Step:
    places = {category: place for place, category in enumerate(parameters["categories"])}
    return lambda x: None if x is None else places.get(x, -1)


def _one_hot_encode(parameters: Options) -> Step:
    categories: list[str] = parameters["categories"]
    nothing = [0] * len(categories)
    rows = {category: [int(category == other) for other in categories] for category in categories}
    return lambda x: rows.get(x, nothing)


def is_number(value: object) -> bool:
    """Tell whether an option is a finite number."""
    # Of a NaN both comparisons are false, and an integer may be larger than any double.
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and -sys.float_info.max <= value <= sys.float_info.max  # type: ignore[operator]


def _clip_problem(options: Options) -> str | None:
    low, high = options.get("min"), options.get("max")
    if low is None and high is None:
        return "needs min, max or both"
    if not all(is_number(bound) for bound in (low, high) if bound is not None):
        return "min and max are numbers"
    return "min is above max" if None not in (low, high) and low > high else None  # type: ignore[operator]


def _bucketize_problem(options: Options) -> str | None:
    boundaries = options.get("boundaries")
    if not isinstance(boundaries, list) or not boundaries or not all(map(is_number, boundaries)):
        return "needs boundaries, a list of numbers"
    ascending = all(low < high for low, high in pairwise(boundaries))
    return None if ascending else "boundaries must ascend"


def _impute_problem(options: Options) -> str | None:
    how, value = options.get("with"), options.get("value")
    if how not in ("mean", "median", "constant"):
        return "needs with: mean, median or constant"
    if (how == "constant") != (value is not None):
        return "value belongs to with: constant, and it needs one"
    if value is not None and not is_number(value) and not isinstance(value, str | bool):
        return "value is a number, a text, true or false"
    return None


def _categories_problem(options: Options) -> str | None:
    categories = options.get("categories")
    if categories is None:
        return None
    if not isinstance(categories, list) or not categories:
        return "categories is a list of them"
    if not all(isinstance(category, str | int | float) for category in categories):
        return "a category is a text, a number, true or false"
    names = [category_text(category) for category in categories]
    return "a category is named twice" if len(set(names)) < len(names) else None


_CATEGORY = ("categories",)

TRANSFORMS: Mapping[str, Transform] = {
    "scale": Transform("number", "double", _scale),
    "min_max": Transform("number", "double", _min_max),
    "log1p": Transform("number", "double", _log1p),
    "clip": Transform("number", "double", _clip, ("min", "max"), _clip_problem),
    "bucketize": Transform("number", "int64", _bucketize, ("boundaries",), _bucketize_problem),
    "impute": Transform("any", None, _impute, ("with", "value"), _impute_problem),
    "ordinal_encode": Transform(
        "category", "int64", _ordinal_encode, _CATEGORY, _categories_problem
    ),
    ONE_HOT: Transform("category", "int64", _one_hot_encode, _CATEGORY, _categories_problem),
}
