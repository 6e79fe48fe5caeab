"""
The transforms of feature views: SQL and Python against values worked out by hand, and each other.

One project has a column for each case of transforms.yml. Its compiled SQL is then run on rows that
Hypothesis makes.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from materializer.views.definition import built_version
from materializer.views.vector import Vectors
from tests.support.profile import examples
from tests.support.view_project import UNTIL, VIEW, ViewProject

CASES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("transforms.yml").read_text(encoding="utf-8")
)
NAMES = [case["name"] for case in CASES]
BOUNDARY = datetime.fromisoformat(UNTIL)

_ARROW = {
    "double": pa.float64(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ViewProject:
    """Build a view with a column a case."""
    made = ViewProject(
        tmp_path_factory.mktemp("transforms") / "project",
        columns={case["name"]: case["type"] for case in CASES},
        transforms=[{**step, "column": case["name"]} for case in CASES for step in case["steps"]],
    )
    made.write_rows(_rows())
    made.dbt("deps").assert_done()
    made.dbt("build").assert_done()
    return made


def _rows() -> pa.Table:
    """Put training values before the boundary, and the others at it and after it."""
    before = max(len(case["train"]) for case in CASES)
    after = max(len(case["rows"]) for case in CASES)
    moments = [BOUNDARY - timedelta(microseconds=n) for n in range(before, 0, -1)]
    moments += [BOUNDARY + timedelta(microseconds=n) for n in range(after)]
    columns: dict[str, Any] = {
        "id": [str(n) for n in range(before + after)],
        "available_at": pa.array(moments, pa.timestamp("us")),
        "label": [n % 2 for n in range(before + after)],
    }
    for case in CASES:
        train = case["train"] + [None] * (before - len(case["train"]))
        rows = [given for given, _ in case["rows"]]
        values = train + rows + [None] * (after - len(rows))
        columns[case["name"]] = pa.array(values, _ARROW.get(case["type"], pa.string()))
    return pa.table(columns)


@pytest.fixture(scope="module")
def vectors(project: ViewProject) -> Vectors:
    return Vectors(built_version(project.view(), project.parameters(), lambda group: None))


def _chunks(vectors: Vectors, values: Sequence[Any]) -> dict[str, Any]:
    """Give back to each feature what it became: one value, or a list for columns of categories."""
    chunks: dict[str, Any] = {}
    at = 0
    for feature in vectors.version.features:
        last = feature.steps[-1] if feature.steps else None
        if last is not None and last.transform == "one_hot_encode":
            width = len(last.parameters["categories"])
            chunks[feature.name] = list(values[at : at + width])
            at += width
        else:
            chunks[feature.name] = values[at]
            at += 1
    assert at == len(values)
    return chunks


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_step_is_fitted_to_what_the_rows_before_the_boundary_hold(
    project: ViewProject, case: Mapping[str, Any]
) -> None:
    steps = [row for row in project.parameters() if row["feature"] == case["name"]]

    assert [row["parameters"] for row in steps if row["transform"]] == case["parameters"]


def test_the_parameters_say_on_how_many_rows_they_were_fitted(project: ViewProject) -> None:
    most = max(len(case["train"]) for case in CASES)

    assert {row["fitted_on_rows"] for row in project.parameters()} == {most}


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_sql_makes_of_a_value_what_was_worked_out(
    project: ViewProject, vectors: Vectors, case: Mapping[str, Any]
) -> None:
    names = ", ".join('"' + column.name.replace('"', '""') + '"' for column in vectors.columns)
    rows = project.query(
        f"select {names} from feature_store.{VIEW} where split = 'holdout' order by asked_at"
    )

    made = [_chunks(vectors, row)[case["name"]] for row in rows]

    assert _same(made[: len(case["rows"])], [expected for _, expected in case["rows"]])


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_python_makes_of_a_value_what_was_worked_out(
    vectors: Vectors, case: Mapping[str, Any]
) -> None:
    names = [feature.name for feature in vectors.version.features]
    nothing = dict.fromkeys(names)
    made = [
        _chunks(vectors, vectors.make(list({**nothing, case["name"]: value}.values())))[
            case["name"]
        ]
        for value, _ in case["rows"]
    ]

    assert _same(made, [expected for _, expected in case["rows"]])


def _same(made: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Compare values and their types: a column of whole numbers must not come as doubles."""
    return len(made) == len(expected) and all(map(_equal, made, expected))


def _equal(made: Any, expected: Any) -> bool:
    if isinstance(made, float) and isinstance(expected, float):
        # A logarithm may be off by its last bit.
        return math.isclose(made, expected, rel_tol=2**-52)
    return type(made) is type(expected) and bool(made == expected)


def test_rows_are_split_at_the_boundary_and_the_boundary_is_held_out(project: ViewProject) -> None:
    found = project.query(
        f"select split, min(asked_at), max(asked_at) from feature_store.{VIEW} "
        "group by 1 order by 1"
    )
    before = max(len(case["train"]) for case in CASES)
    after = max(len(case["rows"]) for case in CASES)
    step = timedelta(microseconds=1)

    assert found == [
        ("holdout", BOUNDARY, BOUNDARY + (after - 1) * step),
        ("train", BOUNDARY - before * step, BOUNDARY - step),
    ]


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(width=64) | st.floats(-100, 100),
    "bigint": st.integers(-(2**63), 2**63 - 1) | st.integers(-20, 20),
    "boolean": st.booleans(),
    "varchar": st.text(max_size=4) | st.sampled_from(["a", "b", "gold", "pear", "none", "m", ""]),
    "date": st.dates().map(str) | st.just("2024-02-29"),
    "decimal(10,2)": st.decimals(-(10**8) + 1, 10**8 - 1, places=2).map(str),
}
# What a JSON text can hold; DuckDB takes no other either.
_VALUES["varchar"] = _VALUES["varchar"].filter(
    lambda text: "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
)


@pytest.fixture(scope="module")
def warehouse() -> duckdb.DuckDBPyConnection:
    """Make an empty warehouse with the training set that the view's SQL reads."""
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as warehouse")
    connection.execute("create schema warehouse.feature_store")
    columns = ", ".join(f'"{case["name"]}" {case["type"]}' for case in CASES)
    connection.execute(
        "create table warehouse.feature_store.training "
        f"(id varchar, asked_at timestamp, label bigint, {columns})"
    )
    return connection


def _fill(
    warehouse: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]], moment: datetime
) -> None:
    arrow = pa.schema([(case["name"], _ARROW.get(case["type"], pa.string())) for case in CASES])
    table = pa.Table.from_pylist(list(rows), schema=arrow)
    casts = ", ".join(f'cast("{case["name"]}" as {case["type"]})' for case in CASES)
    warehouse.execute("delete from warehouse.feature_store.training")
    warehouse.register("given", table)
    warehouse.execute(
        "insert into warehouse.feature_store.training "
        f"select 'x', timestamp '{moment}', row_number() over (), {casts} from given"
    )


_row = st.fixed_dictionaries({case["name"]: st.none() | _VALUES[case["type"]] for case in CASES})


@given(rows=st.lists(_row, min_size=1, max_size=5))
@settings(max_examples=examples(100), deadline=None)
def test_sql_and_python_agree_to_the_last_bit_on_any_value(
    project: ViewProject,
    vectors: Vectors,
    warehouse: duckdb.DuckDBPyConnection,
    rows: list[dict[str, Any]],
) -> None:
    _fill(warehouse, rows, BOUNDARY)
    found = warehouse.execute(f"{project.compiled(VIEW)}\norder by label").fetchall()
    carried = 4  # id, asked_at, label, split

    made = [vectors.make([row[name] for name in NAMES]) for row in rows]

    assert [list(map(repr, row[carried:])) for row in found] == [list(map(repr, m)) for m in made]


# Doubles whose squares are doubles too: beyond, a deviation is null, or 0 and so 1.
_moderate = (st.just(0.0) | st.floats(1e-100, 1e100)).flatmap(lambda x: st.sampled_from([x, -x]))
_plain_row = st.fixed_dictionaries(
    {
        case["name"]: st.none() | (_moderate if case["type"] == "double" else _VALUES[case["type"]])
        for case in CASES
    }
)


@given(
    train=st.lists(_plain_row, min_size=1, max_size=8),
    held_out=st.lists(_row, max_size=3),
)
@settings(max_examples=examples(60), deadline=None)
def test_fitting_equals_the_definition_on_any_rows_and_no_other_row_has_a_say(
    project: ViewProject,
    warehouse: duckdb.DuckDBPyConnection,
    train: list[dict[str, Any]],
    held_out: list[dict[str, Any]],
) -> None:
    _fill(warehouse, [*train, *held_out], BOUNDARY)
    warehouse.execute(
        "update warehouse.feature_store.training set asked_at = asked_at - interval 1 microsecond "
        f"where label <= {len(train)}"
    )
    found = warehouse.execute(project.compiled(f"{VIEW}_parameters")).fetchall()

    for position, feature, step, transform, parameters, rows, _ in found:
        if position == 0:
            continue
        case = CASES[NAMES.index(feature)]
        assert rows == len(train)
        if step == 1:
            values = [row[feature] for row in train if row[feature] is not None]
            _check(transform, json.loads(parameters), values, case)


def _check(
    transform: str, found: Mapping[str, Any], values: Sequence[Any], case: Mapping[str, Any]
) -> None:
    options = case["steps"][0]
    if transform in ("ordinal_encode", "one_hot_encode"):
        texts = {str(one).lower() if isinstance(one, bool) else str(one) for one in values}
        given_ones = options.get("categories")
        assert found == {"categories": list(map(str, given_ones)) if given_ones else sorted(texts)}
        return
    if transform not in ("scale", "min_max", "impute") or options.get("with") == "constant":
        return
    numbers = [number for number in map(float, values) if math.isfinite(number)]
    expected = _fitted(transform, numbers, options)
    assert found.keys() == expected.keys()
    for name, number in expected.items():
        if number is None:
            assert found[name] is None
        else:
            close = 1e-9 * max(map(abs, numbers))
            assert math.isclose(found[name], number, rel_tol=1e-9, abs_tol=close)


def _fitted(
    transform: str, numbers: list[float], options: Mapping[str, Any]
) -> dict[str, float | None]:
    if transform == "scale":
        if not numbers:
            return {"mean": None, "scale": None}
        return {"mean": statistics.fmean(numbers), "scale": statistics.pstdev(numbers) or 1.0}
    if transform == "min_max":
        if not numbers:
            return {"min": None, "range": None}
        return {"min": min(numbers), "range": max(numbers) - min(numbers) or 1.0}
    if not numbers:
        return {"value": None}
    middle = options["with"] == "median"
    return {"value": statistics.median(numbers) if middle else statistics.fmean(numbers)}
