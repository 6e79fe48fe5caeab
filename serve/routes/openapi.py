"""
Responsible for `GET /openapi.json`: what this server takes and answers, for machines (OpenAPI 3.1).

The document is made from the descriptions of the routes and the groups that are published when it
is requested. Does not know a route: what a route does not describe next to its code is missing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Flask, current_app, request
from werkzeug.routing import Rule

from serve import auth
from serve.errors import ANYWHERE, CODES, codes_of
from serve.openapi.operations import Operation, Schema, described, description_of
from serve.openapi.schemas import TEXT, object_of
from serve.stores.stores import Stores, current_stores

NAME = "dbt-feature-store"
DESCRIPTION = (
    "Feature lookups, online and as of a time. Paths of groups are of those that are published "
    "now, so read this again after a publish. HEAD works wherever GET does. An answer may have "
    "more fields than are described here."
)
_OPENAPI = "3.1.0"
_JSON = "application/json"
_SCHEME = "token"
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
@described(
    lambda: Operation(object_of({"openapi": {"const": _OPENAPI}})),
    raises=("store_unavailable",),
)
def openapi() -> dict[str, Any]:
    """Answer what this server takes and answers: this document."""
    return document(current_app, current_stores(), _base())


def _base() -> str:
    """Return the path below which clients see the routes, empty when it is the root."""
    # Werkzeug has decoded the one; a proxy that removes a prefix names it in the other.
    forwarded = request.headers.get("X-Forwarded-Prefix", "").rstrip("/")
    prefix = forwarded if _PREFIX.fullmatch(forwarded) else ""
    return prefix + quote(request.script_root)


def document(app: Flask, stores: Stores, base: str = "") -> dict[str, Any]:
    """
    Return the document of a server whose routes are below *base*.

    A route without a description is a `LookupError`.
    """
    paths: dict[str, Schema] = {}
    components: dict[str, Schema] = {"schemas": {}, "responses": {}}
    has_token = auth.needs_token(app)
    if has_token:
        components["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        codes, operations = description_of(view)
        guarded = has_token and rule.rule not in auth.OPEN
        errors = _errors((*codes, *ANYWHERE, *([auth.REFUSAL] if guarded else [])))
        components["responses"].update(errors)
        (method,) = (rule.methods or set()) - {"HEAD"}
        for name, operation in operations(stores).items():
            components["schemas"].update(operation.components)
            written = {
                **_head(rule, view, name),
                **_body(operation, errors),
                **({"security": [{_SCHEME: []}]} if guarded else {}),
            }
            paths.setdefault(_path(rule.rule, name), {})[method.lower()] = written
    info = {"title": NAME, "version": version(NAME), "description": DESCRIPTION}
    servers = [{"url": base or "/"}]
    return {
        "openapi": _OPENAPI,
        "info": info,
        "servers": servers,
        "paths": paths,
        "components": components,
    }


def _errors(codes: tuple[str, ...]) -> dict[str, Schema]:
    """Describe the answers of errors, one for each status, by a name that begins with it."""
    by_status: dict[int, list[str]] = {}
    for code in codes_of(*codes):
        by_status.setdefault(CODES[code][0], []).append(code)
    return {
        f"{status}.{'.'.join(same)}": {
            "description": "; ".join(f"`{code}`: {CODES[code][1]}" for code in same),
            "content": {_JSON: {"schema": _error(same)}},
        }
        for status, same in sorted(by_status.items())
    }


def _error(codes: list[str]) -> Schema:
    return object_of({"error": object_of({"code": {"enum": codes}, "message": TEXT})})


def _head(rule: Rule, view: Callable[..., Any], name: str) -> Schema:
    """Name an operation, and summarize it by the docstring of its view."""
    summary, _, rest = (inspect.getdoc(view) or "").partition("\n\n")
    return {
        "operationId": "_".join([*rule.endpoint.split("."), *([name] if name else [])]),
        **({"tags": [name]} if name else {}),
        "summary": " ".join(summary.split()).rstrip("."),
        **({"description": rest} if rest else {}),
    }


def _body(operation: Operation, errors: dict[str, Schema]) -> Schema:
    """Describe what an operation takes and answers."""
    content = {media: {"schema": operation.answer} for media in operation.media}
    answer: Schema = {"description": "The answer.", "content": content}
    if operation.headers:
        answer["headers"] = {
            name: {"required": True, "schema": schema} for name, schema in operation.headers.items()
        }
    references = {name.split(".")[0]: {"$ref": f"#/components/responses/{name}"} for name in errors}
    written: Schema = {"responses": {"200": answer, **references}}
    if operation.parameters:
        written["parameters"] = list(operation.parameters)
    if operation.body is not None:
        written["requestBody"] = {"required": True, "content": {_JSON: {"schema": operation.body}}}
    if operation.deprecated:
        written["deprecated"] = True
    return written


def _path(rule: str, name: str) -> str:
    written = re.sub(r"<\w+>", name, rule) if name else rule
    return re.sub(r"<(\w+)(:\w+)?>", r"{\1}", written)
