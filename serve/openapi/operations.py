"""
Responsible for how a route is described to machines, by a decorator next to its code.

Makes no schema before the document is requested, and repeats nothing that is known elsewhere:
summaries come from docstrings, the status and meaning of codes from the table of errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from materializer.errors import FeatureStoreError
from serve.errors import codes_of
from serve.stores.directory import Groups, has_short_routes
from serve.stores.stores import Stores

# A JSON Schema, or another object of OpenAPI.
Schema: TypeAlias = "dict[str, Any]"
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Operation:
    """
    What one route takes and answers.

    Attributes:
        answer: Schema of its answer.
        parameters: Parameter objects, one for each parameter of the path too.
        body: Schema of the JSON body that it takes, None for none.
        media: The content types that it answers.
        headers: Schema of each header that comes with every such answer, by its name.
        components: Schemas that the others name, as `#/components/schemas/<name>`.
        deprecated: Whether new clients should not begin to use it.
    """

    answer: Schema
    parameters: tuple[Schema, ...] = ()
    body: Schema | None = None
    media: tuple[str, ...] = ("application/json",)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    components: Mapping[str, Schema] = field(default_factory=dict)
    deprecated: bool = False


# The codes of the errors that a route answers, besides those of every route; and what returns its
# operations, by the name of each thing that it serves, '' for a route that serves none.
Description: TypeAlias = "tuple[tuple[str, ...], Callable[[Stores], Mapping[str, Operation]]]"
_DESCRIPTIONS: dict[Callable[..., Any], Description] = {}


def described(
    operation: Callable[..., Operation],
    *,
    for_each: Callable[[Stores], Mapping[str, Any]] | None = None,
    raises: tuple[str | type[FeatureStoreError], ...] = (),
) -> Callable[[View], View]:
    """
    Describe the route below, once or for each thing that it serves, such as each group.

    A part of the route without a converter, such as `<group>`, is the thing's name, and is written
    out in the document; `<id:user_id>` stays a parameter, by the name `id`.

    Args:
        operation: Returns what the route takes and answers, for a thing if there are any.
        for_each: Returns what it serves now, by name.
        raises: Codes of errors, and exceptions, which stand for their codes.

    Raises:
        KeyError: See `codes_of`.
    """
    codes = codes_of(*raises)

    def operations(stores: Stores) -> Mapping[str, Operation]:
        if for_each is None:
            return {"": operation()}
        return {name: operation(thing) for name, thing in for_each(stores).items()}

    def register(view: View) -> View:
        _DESCRIPTIONS[view] = (codes, operations)
        return view

    return register


def description_of(view: Callable[..., Any]) -> Description:
    """
    Return the description of a route.

    Raises:
        LookupError: It has none; every route must.
    """
    if view not in _DESCRIPTIONS:
        raise LookupError(f"{view.__module__}.{view.__name__} has no description")
    return _DESCRIPTIONS[view]


def all_groups(stores: Stores) -> Groups:
    """Return the published groups."""
    return stores.directory.groups()


def online_groups(stores: Stores) -> Groups:
    """Return the published groups that are pushed."""
    return {name: group for name, group in all_groups(stores).items() if group.online}


def short_groups(stores: Stores) -> Groups:
    """Return the published group that the short routes serve: one, or none."""
    return {name: group for name, group in all_groups(stores).items() if has_short_routes(group)}


def short_online_groups(stores: Stores) -> Groups:
    """Return the published group that the short online route serves: one, or none."""
    return {name: group for name, group in short_groups(stores).items() if group.online}
