"""
`GET /openapi.json`: what this server takes and answers, for machines.

Owns how the descriptions of the routes become one document (OpenAPI 3.1). It is made when it is
asked for, of the groups that are published then. Refuses to know a route: what a route does not say
of itself beside its code is in no document.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, current_app
from werkzeug.routing import Rule

from serve import auth
from serve.errors import ANYWHERE, CODES, codes_of
from serve.openapi import schemas
from serve.openapi.operations import Operation, Schema, described, description_of
from serve.stores.stores import Stores, current_stores

if TYPE_CHECKING:
    from apispec import APISpec

NAME = "dbt-feature-store"
DESCRIPTION = (
    "Feature lookups, online and as of a time. Paths of groups are of those that are published "
    "now, so ask again after a publish. HEAD works wherever GET does. More fields than are told "
    "here may come in an answer."
)
_OPENAPI = "3.1.0"
_JSON = "application/json"
_SCHEME = "token"

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
@described(
    lambda: Operation(schemas.of_object({"openapi": {"const": _OPENAPI}})),
    raises=("store_unavailable",),
)
def openapi() -> dict[str, Any]:
    """
    Answer what this server takes and answers: this document.

    Raises:
        ApiError: `store_unavailable`.
        StoreUnavailable: The groups were never read, and cannot be.
    """
    return document(current_app, current_stores())


def document(app: Flask, stores: Stores) -> dict[str, Any]:
    """
    Write the document of a server.

    Args:
        app: Its application.
        stores: Its stores.

    Raises:
        ApiError: `store_unavailable`.
        LookupError: A route has no description.
        StoreUnavailable: The groups were never read, and cannot be.
    """
    # Not above: no other answer needs it.
    from apispec import APISpec

    spec = APISpec(NAME, version(NAME), _OPENAPI, info={"description": DESCRIPTION})
    asks = auth.is_asked(app)
    if asks:
        spec.components.security_scheme(_SCHEME, {"type": "http", "scheme": "bearer"})
    for rule in app.url_map.iter_rules():
        guarded = asks and rule.rule not in auth.OPEN
        _add(spec, rule, app.view_functions[rule.endpoint], stores, guarded=guarded)
    return spec.to_dict()


def _add(
    spec: APISpec, rule: Rule, view: Callable[..., Any], stores: Stores, *, guarded: bool
) -> None:
    """Write one route into the document, once for each thing that it serves."""
    known = description_of(view)
    errors = _errors(codes_of(*known.codes, ANYWHERE, *([auth.REFUSAL] if guarded else [])))
    for name, response in errors.items():
        if name not in spec.components.responses:
            spec.components.response(name, response)
    (method,) = (rule.methods or set()) - {"HEAD"}
    for name, operation in known.operations(stores).items():
        for component, schema in operation.components.items():
            if component not in spec.components.schemas:
                spec.components.schema(component, schema)
        written = {
            "operationId": "_".join([*rule.endpoint.split("."), *([name] if name else [])]),
            **({"tags": [name]} if name else {}),
            **_summary(view),
            **_written(operation),
            **({"security": [{_SCHEME: []}]} if guarded else {}),
        }
        # A name in the place of an object becomes a reference to it.
        written["responses"].update({error.split(".")[0]: error for error in errors})
        spec.path(_path(rule.rule, name), operations={method.lower(): written})


def _errors(codes: tuple[str, ...]) -> dict[str, Schema]:
    """Describe the answers of errors, one for each status, by a name that begins with it."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    return {
        f"{status}.{'.'.join(some)}": {
            "description": schemas.meanings(some),
            "content": {_JSON: {"schema": schemas.error(some)}},
        }
        for status, some in sorted(by_status.items())
    }


def _written(operation: Operation) -> Schema:
    content = {media: {"schema": operation.answer} for media in operation.media}
    answer: Schema = {"description": "The answer.", "content": content}
    if operation.headers:
        answer["headers"] = {
            name: {"required": True, "schema": schema} for name, schema in operation.headers.items()
        }
    written: Schema = {"responses": {"200": answer}}
    if operation.parameters:
        written["parameters"] = list(operation.parameters)
    if operation.body is not None:
        written["requestBody"] = {"required": True, "content": {_JSON: {"schema": operation.body}}}
    if operation.deprecated:
        written["deprecated"] = True
    return written


def _summary(view: Callable[..., Any]) -> Schema:
    """Take what a person reads of a view: its docstring up to what it raises."""
    told, _, _ = (inspect.getdoc(view) or "").partition("\nRaises:")
    first, _, rest = told.strip().partition("\n\n")
    more = {"description": rest} if rest else {}
    return {"summary": " ".join(first.split()).rstrip("."), **more}


def _path(rule: str, name: str) -> str:
    written = re.sub(r"<\w+>", name, rule) if name else rule
    return re.sub(r"<(\w+)(:\w+)?>", r"{\1}", written)
