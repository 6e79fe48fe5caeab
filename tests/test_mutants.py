"""The mutants fit the code, name tests that exist, are in the docs, and are judged strictly."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace

import pytest

from tests.mutants.catalogue import Mutant, NoLongerFits, read
from tests.mutants.run import run
from tests.mutants.schedules import SCHEDULES
from tests.test_docs import ROOT, gate_tests, table

MUTANTS = read()
IN_DBT = [mutant for mutant in MUTANTS if not mutant.is_for_pytest]
IN_PYTEST = [mutant for mutant in MUTANTS if mutant.is_for_pytest]


def misfit(mutant: Mutant) -> str | None:
    try:
        changed = mutant.patched(ROOT) != (ROOT / mutant.file).read_text()
    except NoLongerFits as error:
        return f"{mutant.name}: {error}"
    return None if changed else f"{mutant.name} changes nothing"


def test_every_patch_fits_the_code() -> None:
    assert [found for mutant in MUTANTS if (found := misfit(mutant))] == []


def test_every_mutant_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in MUTANTS]

    assert sorted(names) == sorted(set(names))


def test_every_gate_test_that_a_mutant_names_exists_and_each_catches_one() -> None:
    assert {mutant.caught_by for mutant in IN_DBT} == set(gate_tests())
    assert {mutant.schedule for mutant in IN_DBT} == set(SCHEDULES)


def function_of(node: str) -> str:
    return node.partition("::")[2].partition("[")[0]


def exists(node: str) -> bool:
    path, name = node.partition("::")[0], function_of(node)
    if not (ROOT / path).is_file():
        return False
    functions = [n for n in ast.walk(ast.parse((ROOT / path).read_text())) if is_function(n)]
    return name in {getattr(function, "name", "") for function in functions}


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef)


def test_every_pytest_node_that_a_mutant_names_exists() -> None:
    assert [mutant.caught_by for mutant in IN_PYTEST if not exists(mutant.caught_by)] == []


# Docs


def test_the_table_of_the_gate_names_the_mutants_that_each_test_catches() -> None:
    told = {
        row[0]: set(re.findall(r"\w+", row[3]))
        for row in table("gate.md", "test", "what it proves", "guards", "mutants that it catches")
    }

    assert told == {
        test: {mutant.name for mutant in IN_DBT if mutant.caught_by == test} for test in told
    }


def test_the_table_of_mutants_has_every_other_one_with_the_test_that_catches_it() -> None:
    told = [tuple(row) for row in table("gate.md", "mutant", "what a user would suffer", "test")]

    assert told == [
        (mutant.name, mutant.why, function_of(mutant.caught_by)) for mutant in IN_PYTEST
    ]


# The judgement

GATE = Mutant(
    name="caught",
    why="",
    file="materializer/gate.py",
    find="if not guarding:",
    replace="if not tests:",
    caught_by="tests/materializer/test_gate.py::test_a_model_that_no_test_guards_does_not_go_out",
)
MODEL = Mutant(
    name="caught_by_dbt",
    why="",
    file="dbt_project/models/training/training_data.sql",
    find="labels as (\n    select\n",
    replace="labels as (\n    select distinct\n",
    caught_by="training_data_conserves_labels",
)


def test_only_the_named_test_turned_red_by_what_it_checks_is_a_catch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mutants = [
        GATE,
        replace(GATE, name="changes_nothing", replace="if not guarding:  # as before"),
        replace(GATE, name="no_python", replace="if not guarding"),
        replace(GATE, name="falls_over", replace="if not guarding.nothing:"),
        replace(GATE, name="fits_nowhere", find="if not guarding at all:"),
        MODEL,
        replace(MODEL, name="seen_by_another_test", caught_by="training_data_sees_no_future"),
        replace(MODEL, name="no_sql", replace="labels as (\n    select nothing,\n"),
    ]

    code = run(mutants, jobs=2, as_json=True)

    [document] = capsys.readouterr().out.splitlines()
    assert {found["name"]: found["outcome"] for found in json.loads(document)["mutants"]} == {
        "caught": "caught",
        "changes_nothing": "survived",
        "no_python": "broken",
        "falls_over": "broken",
        "fits_nowhere": "misfit",
        "caught_by_dbt": "caught",
        "seen_by_another_test": "survived",
        "no_sql": "broken",
    }
    assert code == 1


def test_a_survivor_is_told_in_one_line_with_its_file_and_the_test_that_stayed_green(
    capsys: pytest.CaptureFixture[str],
) -> None:
    survivor = replace(GATE, name="survivor", replace="if not guarding:  # as before")

    assert run([survivor], jobs=1, as_json=False) == 1

    assert capsys.readouterr().out.splitlines()[-1] == (
        f"SURVIVED 1/1 survivor in materializer/gate.py: {GATE.caught_by} stayed green"
    )


def test_nothing_is_proved_by_a_test_that_is_red_without_any_mutant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = replace(GATE, caught_by="tests/materializer/test_gate.py::test_that_is_not_there")

    assert run([nowhere], jobs=1, as_json=False) == 1

    assert capsys.readouterr().out.startswith("nothing is proved, the project itself is not green")


def test_every_mutant_caught_is_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([GATE], jobs=1, as_json=False) == 0

    assert "caught 1 of 1 mutants" in capsys.readouterr().out
