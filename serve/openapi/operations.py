"""
What each route says of itself to machines, said beside the route.

Owns the decorators that put a route into `/openapi.json`, and the form in which it is described.
Refuses to make a schema before the document is asked for, and to repeat what is known elsewhere:
summaries come from docstrings, codes with status and meaning from the table of errors.
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
# Codes of errors, and exceptions in the place of theirs.
Raised: TypeAlias = "tuple[str | type[FeatureStoreError], ...]"
View = TypeVar("View", bound=Callable[..., Any])
Thing = TypeVar("Thing")


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


@dataclass(frozen=True, slots=True)
class Description:
    """
    What is known of one route.

    Attributes:
        codes: The codes of the errors that it answers, beside those of every route.
        operations: What it takes and answers, for each thing that it serves by the thing's name;
            under the name '' for a route that serves nothing in particular.
    """

    codes: tuple[str, ...]
    operations: Callable[[Stores], Mapping[str, Operation]]


_DESCRIBED: dict[Callable[..., Any], Description] = {}


def described(operation: Callable[[], Operation], *, raises: Raised = ()) -> Callable[[View], View]:
    """
    Describe the route below.

    Args:
        operation: Makes what it takes and answers, when that is asked for.
        raises: Codes of errors, and exceptions in the place of theirs.

    Raises:
        KeyError: See `codes_of`.
    """
    return _keep(raises, lambda _: {"": operation()})


def described_for_each(
    things: Callable[[Stores], Mapping[str, Thing]],
    operation: Callable[[Thing], Operation],
    *,
    raises: Raised = (),
) -> Callable[[View], View]:
    """
    Describe the route below anew for each thing that it serves, such as each group.

    A part of the route without a converter, such as `<group>`, is the thing's name, and is written
    out in the document; `<id:user_id>` stays a parameter, by the name `id`.

    Args:
        things: Finds what it serves now, by name.
        operation: Makes what it takes and answers for one of them, when that is asked for.
        raises: Codes of errors, and exceptions in the place of theirs.

    Raises:
        KeyError: See `codes_of`.
    """
    return _keep(
        raises, lambda stores: {name: operation(thing) for name, thing in things(stores).items()}
    )


def description_of(view: Callable[..., Any]) -> Description:
    """
    Find what a route says of itself.

    Raises:
        LookupError: It says nothing; every route must.
    """
    if view not in _DESCRIBED:
        raise LookupError(f"{view.__module__}.{view.__name__} has no description")
    return _DESCRIBED[view]


def every_group(stores: Stores) -> Groups:
    """Return the published groups."""
    return stores.directory.groups()


def online_groups(stores: Stores) -> Groups:
    """Return the published groups that are pushed."""
    return {name: group for name, group in every_group(stores).items() if group.online}


def short_groups(stores: Stores) -> Groups:
    """Return the published group that the short routes serve: one, or none."""
    return {name: group for name, group in every_group(stores).items() if has_short_routes(group)}


def short_online_groups(stores: Stores) -> Groups:
    """Return the published group that the short online route serves: one, or none."""
    return {name: group for name, group in short_groups(stores).items() if group.online}


def _keep(
    raises: Raised,
    operations: Callable[[Stores], Mapping[str, Operation]],
) -> Callable[[View], View]:
    codes = codes_of(*raises)

    def keep(view: View) -> View:
        _DESCRIBED[view] = Description(codes, operations)
        return view

    return keep
