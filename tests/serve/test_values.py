"""A value has one form in JSON, whichever way it is asked for."""

import io
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest

from materializer.config import Settings, parse_time
from materializer.console import Console
from materializer.get import get
from materializer.registry.values import json_value
from materializer.views.definition import Feature, Join, ViewVersion
from materializer.views.push import push_view
from materializer.views.versions import PublishedVersion
from serve.openapi.schemas import or_null, type_schema
from tests.serve.support import NOW, Application, Store
from tests.support.group import make_group

NINES = "9" * 38
# Of each type the values whose form could differ, with that form; each type has as many.
FORMS: Mapping[str, list[tuple[Any, str]]] = {
    "string": [
        ("", '""'),
        ('é\u2028\x00"\\😀', '"é\u2028\\u0000\\"\\\\😀"'),
        ("1e5", '"1e5"'),
        ("null", '"null"'),
    ],
    "int64": [
        (-(2**63), f"-{2**63}"),
        (2**63 - 1, f"{2**63 - 1}"),
        (2**53 + 1, f"{2**53 + 1}"),
        (0, "0"),
    ],
    "double": [
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e22, "1e+22"),
    ],
    "boolean": [(True, "true"), (False, "false")] * 2,
    "date": [
        (date.min, '"0001-01-01"'),
        (date(1969, 12, 31), '"1969-12-31"'),
        (date(2024, 2, 29), '"2024-02-29"'),
        (date.max, '"9999-12-31"'),
    ],
    "timestamp": [
        (datetime.min, '"0001-01-01T00:00:00Z"'),
        (datetime(1969, 12, 31, 23, 59, 59, 999999), '"1969-12-31T23:59:59.999999Z"'),
        (datetime(2024, 1, 1, 0, 0, 0, 1), '"2024-01-01T00:00:00.000001Z"'),
        (datetime.max, '"9999-12-31T23:59:59.999999Z"'),
    ],
    "decimal(20,10)": [
        (Decimal(0), '"0.0000000000"'),
        (Decimal("-1e-10"), '"-0.0000000001"'),
        (Decimal(100), '"100.0000000000"'),
        (Decimal(f"{10**10 - 1}.{10**10 - 1}"), '"9999999999.9999999999"'),
    ],
    # Nothing is before the point.
    "decimal(3,3)": [
        (Decimal("0.5"), '"0.500"'),
        (Decimal("-0.001"), '"-0.001"'),
        (Decimal(0), '"0.000"'),
        (Decimal("0.999"), '"0.999"'),
    ],
    "decimal(38,0)": [
        (Decimal(10**37), f'"{10**37}"'),
        (Decimal(f"-{NINES}"), f'"-{NINES}"'),
        (Decimal(0), '"0"'),
        (Decimal(NINES), f'"{NINES}"'),
    ],
}
# Each type alone, and as the element of an array.
KINDS = {f"c{number}": kind for number, kind in enumerate(FORMS)}
COLUMNS = {**KINDS, **{f"list_{name}": f"array<{kind}>" for name, kind in KINDS.items()}}
ROWS = [str(number) for number in range(4)]
GROUP = make_group(
    "everything",
    {"user_id": "string", "day": "date", **COLUMNS, "available_at": "timestamp"},
)
VIEW = "everything_view"
AT = "2024-01-08T00:00:00Z"


def _read(text: str) -> Any:
    """Read JSON with numbers as their text."""
    return json.loads(text, parse_int=lambda t: ("number", t), parse_float=lambda t: ("number", t))


def _expected(row: int) -> dict[str, Any]:
    forms = {name: _read(FORMS[kind][row][1]) for name, kind in KINDS.items()}
    return {**forms, **{f"list_{name}": [form, None] for name, form in forms.items()}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("values"))
    values = [{name: FORMS[kind][int(row)][0] for name, kind in KINDS.items()} for row in ROWS]
    store.publish(
        [
            {
                "user_id": row,
                "day": date(2024, 1, 7),
                **some,
                **{f"list_{name}": [value, None] for name, value in some.items()},
                "available_at": datetime(2024, 1, 8),
            }
            for row, some in zip(ROWS, values, strict=True)
        ],
        GROUP,
    )
    store.push(GROUP)
    join = Join(GROUP.name, GROUP.name, {"user_id": "user_id"}, "null")
    features = tuple(Feature(name, kind, GROUP.name, name) for name, kind in COLUMNS.items())
    version = ViewVersion(VIEW, "", None, "set", "label", AT, 1, GROUP.keys, (join,), features)
    published = PublishedVersion(VIEW, version.id, datetime(2024, 1, 8), "build", version.text)
    push_view(VIEW, [published], store.redis.client(), store_id="s", now=parse_time(NOW))
    yield store
    store.redis.close()


def _answers(http: Application, row: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the values of a row as each way of a server answers them."""
    for source, time in (("online", {}), ("offline", {"as_of": AT})):
        route, key = f"/feature-groups/{GROUP.name}/{source}", {"user_id": ROWS[row]}
        query = f"&as_of={AT}" if time else ""
        yield f"GET {source}", _read(http.get(f"{route}?user_id={row}{query}").text)["features"]
        batch = _read(http.post(route, {"keys": [key], **time}).text)
        yield f"POST {source}", dict(zip(batch["columns"], batch["rows"][0], strict=True))
        vector = _read(http.post(f"/feature-views/{VIEW}/vector", {"keys": key, **time}).text)
        yield f"vector {source}", dict(zip(vector["columns"], vector["vector"], strict=True))
        values = ", ".join(f'"{name}": {FORMS[kind][row][1]}' for name, kind in KINDS.items())
        body = json.dumps({"keys": key, **time})[:-1] + f', "values": {{{values}}}}}'
        sent = _read(http.post(f"/feature-views/{VIEW}/vector", body.encode()).text)
        yield f"values {source}", dict(zip(sent["columns"], sent["vector"], strict=True))


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_every_reader_writes_a_value_alike(filled: Store, row: int) -> None:
    expected = _expected(row)
    with filled.application() as http:
        for way, values in _answers(http, row):
            assert {name: values[name] for name in COLUMNS} == expected, way


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_get_prints_a_value_as_the_server_answers_it(filled: Store, row: int) -> None:
    printed = io.StringIO()
    settings = Settings(filled.home, redis_url=filled.redis.url)

    get(settings, GROUP, [ROWS[row]], Console(out=printed))

    lines = dict(line.split(None, 1) for line in printed.getvalue().split("\n")[:-1])
    assert {name: _read(lines[name]) for name in COLUMNS} == _expected(row)


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_is_what_the_openapi_document_says(kind: str) -> None:
    schema = {"anyOf": [or_null(type_schema(kind))]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)

    for value, form in FORMS[kind]:
        assert validator.is_valid(json.loads(form)), form
        assert validator.is_valid(json_value(value)), value
