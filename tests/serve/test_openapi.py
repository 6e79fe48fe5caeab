"""`/openapi.json` is true: every route, its types and its errors; and it is made on request."""

import re
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema_rs
import pytest
import schemathesis

from materializer.config import Settings, parse_time
from materializer.registry.types import _DECLARED
from serve import create_app
from serve.errors import CODES, codes_of
from serve.openapi.schemas import type_schema
from serve.requests.batch import MOST_ROWS
from serve.requests.body import MOST_BYTES
from serve.routes.openapi import document as written
from serve.stores.stores import Stores
from tests.serve.support import (
    NOW,
    Answer,
    FeatureServer,
    Store,
    days_of,
)
from tests.serve.test_errors import ASKED
from tests.support.group import GROUP, make_group

Document: TypeAlias = "dict[str, Any]"
TOKEN = "s3cret-of-the-machine"
LOOKUPS = ("/features/online/{id}", "/features/offline/{id}")


@pytest.fixture(scope="module")
def document(http: FeatureServer) -> Document:
    answer = http.get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    body: Document = answer.body
    return body


def operation(document: Document, path: str, method: str = "get") -> Document:
    found: Document = document["paths"][path][method]
    return found


def answers(document: Document, path: str, status: int, method: str = "get") -> Document:
    """The schema of an answer, with what it refers to."""
    response = operation(document, path, method)["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].split("/")[-1]]
    schema = response["content"]["application/json"]["schema"]
    return {**schema, "components": document["components"]}


def problems(schema: Document, value: object) -> list[str]:
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return [str(error) for error in validator.iter_errors(value)]


def conforms(document: Document, path: str, answer: Answer, method: str = "get") -> list[str]:
    return problems(answers(document, path, answer.status, method), answer.body)


def test_the_document_is_openapi(document: Document) -> None:
    schemathesis.openapi.from_dict(document).validate()


# Routes


def test_every_route_is_in_the_document(document: Document, tmp_path: Path) -> None:
    app = create_app(Settings(tmp_path))
    urls = app.url_map.bind("")
    found = {
        urls.match(re.sub(r"{\w+}", "x", path), method=method.upper())[0]
        for path, methods in document["paths"].items()
        for method in methods
    }

    # This store has no feature view, so no path with a view's name; a store with one has it too.
    assert found == set(app.view_functions) - {"vectors.make_vectors"}


def test_a_route_that_says_nothing_of_itself_leaves_no_document(tmp_path: Path) -> None:
    stores = Stores(Settings(tmp_path))
    app = create_app(stores=stores)

    def silent() -> str:
        return ""

    app.add_url_rule("/more", "more", view_func=silent)

    with pytest.raises(LookupError, match="silent has no description"):
        written(app, stores)
    stores.close()


def test_a_code_that_is_not_in_the_table_cannot_be_described() -> None:
    with pytest.raises(KeyError, match="no_such_code"):
        codes_of("bad_request", "no_such_code")


def test_every_name_is_given_once(document: Document) -> None:
    names = [
        one["operationId"] for methods in document["paths"].values() for one in methods.values()
    ]
    assert len(names) == len(set(names))


def test_a_group_has_paths_of_its_own_while_it_is_published(store: Store) -> None:
    named = f"/feature-groups/{GROUP.name}"
    with store.application() as http:
        empty = http.get("/openapi.json").body["paths"]
    store.publish(days_of("a"), make_group(online=False))
    with store.application() as http:
        offline = http.get("/openapi.json").body["paths"]
    store.publish(days_of("a"), make_group(key_prefix="features:daily"))
    with store.application() as http:
        other = http.get("/openapi.json").body["paths"]

    assert set(offline) - set(empty) == {"/features/offline/{id}", f"{named}/offline"}
    assert set(other) - set(empty) == {f"{named}/online", f"{named}/offline"}


# Types


def test_a_lookup_reports_keys_time_and_features_with_their_types(document: Document) -> None:
    found = operation(document, "/feature-groups/pairs/offline")

    assert [(one["name"], one["required"]) for one in found["parameters"][:2]] == [
        ("user_id", True),
        ("item_id", True),
    ]
    assert [one["schema"] for one in found["parameters"]] == [
        {"type": "string", "minLength": 1},
        {"type": "integer", "format": "int64"},
        {
            "type": "array",
            "items": {"enum": ["day", "clicks", "share"]},
            "minItems": 1,
            "uniqueItems": True,
        },
        found["parameters"][3]["schema"],
    ]
    assert [one["name"] for one in found["parameters"][2:]] == ["features", "as_of"]
    assert document["components"]["schemas"]["pairs.features"]["properties"] == {
        "day": {"type": ["string", "null"], "format": "date"},
        "clicks": {"type": ["integer", "null"], "format": "int64"},
        "share": {"type": ["number", "null"], "format": "double"},
    }


def test_every_published_type_has_a_schema() -> None:
    kinds = {*_DECLARED.values(), "decimal(10,2)"}

    assert [kind for kind in kinds if not type_schema(kind)] == []
    assert type_schema("array<int64>") == {
        "type": "array",
        "items": {"type": ["integer", "null"], "format": "int64"},
    }


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", "007", 7),
        ("int64", 2**53 + 1, 1.5),
        ("double", 0.5, "0.5"),
        ("boolean", False, 0),
        ("date", "2024-01-07", "2024-01-07T00:00:00Z"),
        ("timestamp", "2024-01-08T00:00:00.000001Z", "2024-01-08"),
        ("decimal(10,2)", "-1.50", -1.5),
        ("array<string>", ["a", None], ["a", 1]),
    ],
)
def test_a_schema_takes_what_is_published_and_nothing_else(
    kind: str, good: object, bad: object
) -> None:
    assert problems(type_schema(kind), good) == []
    assert problems(type_schema(kind), bad) != []


def test_the_limits_of_a_batch_are_those_of_the_code(document: Document) -> None:
    body = operation(document, f"/feature-groups/{GROUP.name}/online", "post")["requestBody"]
    schema = body["content"]["application/json"]["schema"]

    assert schema["properties"]["keys"]["maxItems"] == MOST_ROWS
    assert str(MOST_BYTES) in schema["description"]


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ({"keys": []}, True),
        ({"keys": [{"user_id": "u", "item_id": 1}], "as_of": NOW}, True),
        ({"keys": [{"user_id": "u", "item_id": "1", "as_of": NOW}]}, True),
        ({"keys": [{"user_id": "u", "item_id": 1}], "as_of": "2024-01-05", "features": None}, True),
        ({"keys": [{"user_id": "u", "item_id": 1}]}, False),
        ({"keys": [{"user_id": "u", "item_id": 1}], "as_of": None}, False),
        ({"keys": [{"user_id": "u"}], "as_of": NOW}, False),
        ({"keys": [{"user_id": "u", "item_id": 1.5}], "as_of": NOW}, False),
        ({"keys": [{"user_id": "", "item_id": 1}], "as_of": NOW}, False),
        ({"keys": [{"user_id": "u", "item_id": 1, "more": 1}], "as_of": NOW}, False),
        ({"keys": [], "as_of": "soon"}, False),
        ({"keys": [], "as_of": 5}, False),
        ({"keys": [], "features": []}, False),
        ({"keys": [], "features": ["day", "day"]}, False),
        ({"keys": [], "more": 1}, False),
        ({"as_of": NOW}, False),
    ],
)
def test_a_body_is_taken_by_the_server_as_by_its_schema(
    http: FeatureServer, document: Document, body: Document, taken: bool
) -> None:
    path = "/feature-groups/pairs/offline"
    schema = operation(document, path, "post")["requestBody"]["content"]["application/json"]

    answer = http.post(path, body)

    assert (problems(schema["schema"], body) == []) == taken
    assert (answer.status == 200) == taken
    assert conforms(document, path, answer, "post") == []


# Answers


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/features/online/{id}", "/features/online/user1"),
        ("/features/online/{id}", "/features/online/nulls"),
        ("/features/online/{id}", "/features/online/big"),
        ("/features/offline/{id}", f"/features/offline/user1?as_of={NOW}"),
        ("/feature-groups/pairs/online", "/feature-groups/pairs/online?user_id=user1&item_id=1"),
        (
            "/feature-groups/pairs/offline",
            f"/feature-groups/pairs/offline?user_id=user1&item_id=1&as_of={NOW}",
        ),
        ("/feature-groups", "/feature-groups"),
        ("/feature-groups/{group}", "/feature-groups/pairs"),
        ("/health", "/health"),
        ("/ready", "/ready"),
        ("/openapi.json", "/openapi.json"),
    ],
)
def test_an_answer_has_the_fields_that_are_reported(
    http: FeatureServer, document: Document, path: str, target: str
) -> None:
    answer = http.get(target)

    assert answer.status == 200
    assert conforms(document, path, answer) == []
    schema = answers(document, path, 200)
    assert set(answer.body) - {"info", "servers", "paths", "components"} <= set(_properties(schema))


def _properties(schema: Document) -> Document:
    if "$ref" in schema:
        schema = schema["components"]["schemas"][schema["$ref"].split("/")[-1]]
    found: Document = schema["properties"]
    return found


@pytest.mark.parametrize("name", [GROUP.name, "pairs"])
def test_the_features_reported_are_those_answered_in_their_order(
    http: FeatureServer, document: Document, name: str
) -> None:
    key = "user_id=user1" if name == GROUP.name else "user_id=user1&item_id=1"
    features = document["components"]["schemas"][f"{name}.features"]["properties"]

    answer = http.get(f"/feature-groups/{name}/online?{key}")

    assert list(features) == list(answer.body["features"])


# Errors


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (path, target)
        for some in ASKED.values()
        for target in some
        for path in LOOKUPS
        if target.startswith(path.removesuffix("{id}"))
    ],
)
def test_an_error_is_one_that_is_reported_of_its_route(
    http: FeatureServer, document: Document, path: str, target: str
) -> None:
    assert conforms(document, path, http.get(target)) == []


def test_every_code_is_reported_of_some_route_but_those_of_no_route(document: Document) -> None:
    reported = str(document["components"]["responses"])

    assert {code for code in CODES if f"'{code}'" not in reported} == {
        "unknown_route",
        "method_not_allowed",
        "unauthorized",
    }


def test_a_code_is_reported_with_its_meaning_under_its_status(document: Document) -> None:
    for name, response in document["components"]["responses"].items():
        status, *codes = name.split(".")
        assert {str(CODES[code][0]) for code in codes} == {status}
        assert response["description"] == "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes)


def test_the_token_is_reported_of_every_route_but_health_where_it_is_needed(
    filled: Store, document: Document
) -> None:
    with filled.application(token=TOKEN) as server:
        refused = server.get("/openapi.json")
        guarded_document = server.get("/openapi.json", Authorization=f"Bearer {TOKEN}").body

    guarded = {
        path
        for path, methods in guarded_document["paths"].items()
        for one in methods.values()
        if one.get("security") == [{"token": []}] and "401" in one["responses"]
    }
    assert guarded == set(document["paths"]) - {"/health"}
    assert guarded_document["components"]["securitySchemes"] == {
        "token": {"type": "http", "scheme": "bearer"}
    }
    assert conforms(guarded_document, "/openapi.json", refused) == []
    assert "security" not in str(document)


@pytest.mark.parametrize(
    ("script_name", "headers", "base"),
    [
        ("", {}, "/"),
        ("/store", {}, "/store"),
        ("", {"X-Forwarded-Prefix": "/store/"}, "/store"),
        ("/in", {"X-Forwarded-Prefix": "/store/v1"}, "/store/v1/in"),
        ("", {"X-Forwarded-Prefix": "https://elsewhere"}, "/"),
    ],
)
def test_the_document_names_the_path_that_a_proxy_removes(
    filled: Store, script_name: str, headers: dict[str, str], base: str
) -> None:
    app = create_app(stores=Stores(Settings(filled.home, parse_time(NOW), filled.redis.url)))
    client = app.test_client()

    def get(path: str) -> Any:
        environ = {"SCRIPT_NAME": script_name}
        return client.get(path, headers=headers, environ_overrides=environ).get_json()

    assert get("/openapi.json")["servers"] == [{"url": base}]
    assert get("/features/online/a%2Fb")["user_id"] == "a/b"
    assert get("/features/offline/a%2Fb?as_of=2024-01-08")["user_id"] == "a/b"
