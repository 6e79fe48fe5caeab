"""
The chains of a feature view, from its `transforms`.

Owns which step may stand where, by the type that it is given. Each refusal names step and column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from materializer.registry.joins import Bad
from materializer.registry.meta import TRANSFORM
from materializer.registry.view import FittedStep
from materializer.views.transforms import ONE_HOT, TRANSFORMS, can_read, kind_for, type_after


def read_steps(
    given: Sequence[Mapping[str, Any]], types: Mapping[str, str], bad: Bad
) -> dict[str, tuple[FittedStep, ...]]:
    """
    Read the chain of each feature, as it is declared.

    Args:
        given: The steps, in order.
        types: Of the features, before any step.
        bad: Makes the error of a key.

    Returns:
        By feature, its steps with their options; none for one without.

    Raises:
        BadRegistry: A step is unknown, is of no feature, or cannot stand where it does.
    """
    at: dict[str, str | None] = dict(types)
    chains: dict[str, tuple[FittedStep, ...]] = dict.fromkeys(types, ())
    for number, step in enumerate(given):
        kind, column = str(step.get("type")), str(step.get("column"))
        where = f"transforms[{number}]"
        if kind not in TRANSFORMS:
            raise bad(where, f"unknown type {step.get('type')!r}; known: {', '.join(TRANSFORMS)}")
        if column not in at:
            raise bad(where, f"{kind} of {column!r}: no such feature; there are {', '.join(at)}")
        options = {name: value for name, value in step.items() if name not in TRANSFORM}
        problem = _problem(kind, options, at[column])
        if problem is not None:
            raise bad(where, f"{kind} of {column}: {problem}")
        at[column] = None if kind == ONE_HOT else type_after(TRANSFORMS[kind], at[column] or "")
        chains[column] = (*chains[column], FittedStep(kind, options))
    return chains


def _problem(kind: str, options: Mapping[str, Any], given: str | None) -> str | None:
    """Tell why a step cannot be applied to a column of a type; None for the type: to columns."""
    transform = TRANSFORMS[kind]
    if given is None:
        return f"nothing can follow {ONE_HOT}"
    if unknown := next((name for name in options if name not in transform.options), None):
        known = ", ".join(transform.options) or "none"
        return f"unknown option {unknown!r}; known: {known}"
    reads = kind_for(transform, given)
    if not can_read(given, reads):
        return f"a {reads} is needed, and the column is {given}"
    if problem := transform.problem(options):
        return problem
    value = options.get("value")
    if value is not None and isinstance(value, str) != (given == "string"):
        return f"value {value!r} is not of its type"
    return None
