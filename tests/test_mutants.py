"""The mutants fit the code, name tests that exist, are in the docs, and are judged strictly."""

import ast
import json
import re
from dataclasses import replace

import pytest

from tests.mutants import page
from tests.mutants.catalogue import Mutant, NoLongerFits, read
from tests.mutants.run import run
from tests.mutants.schedules import SCHEDULES
from tests.test_docs import ROOT, gate_tests

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


def exists(node: str) -> bool:
    path, name = node.partition("::")[0], page.test_name(node)
    if not (ROOT / path).is_file():
        return False
    functions = [n for n in ast.walk(ast.parse((ROOT / path).read_text())) if is_function(n)]
    return name in {getattr(function, "name", "") for function in functions}


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef)


def test_every_pytest_node_that_a_mutant_names_exists() -> None:
    assert [mutant.caught_by for mutant in IN_PYTEST if not exists(mutant.caught_by)] == []


# Docs


def test_the_page_has_every_mutant() -> None:
    assert page.PAGE.read_text() == page.text(), "run: python -m tests.mutants.page"


# The judgement

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
KEY = BY_NAME["colon_in_an_id_not_encoded"]
JOIN = BY_NAME["inner_for_left_join"]


def test_only_the_named_test_turned_red_by_what_it_checks_is_a_catch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mutants = [
        KEY,
        replace(KEY, name="changes_nothing", replace=f"str({KEY.find})"),
        replace(KEY, name="no_python", replace="quote(part"),
        replace(KEY, name="falls_over", replace='quote(part.nothing, safe="")'),
        replace(KEY, name="fits_nowhere", find=f"{KEY.find} at all"),
        JOIN,
        replace(JOIN, name="seen_by_another_test", caught_by="training_data_sees_no_future"),
        replace(JOIN, name="no_sql", replace="left join of any kind"),
    ]

    code = run(mutants, jobs=2, as_json=False)

    lines = capsys.readouterr().out.splitlines()
    told = [re.match(r"(\w+) \d/8 (\w+) ", line) for line in lines]
    assert {found[2]: found[1] for found in told if found} == {
        KEY.name: "caught",
        "changes_nothing": "SURVIVED",
        "no_python": "BROKEN",
        "falls_over": "BROKEN",
        "fits_nowhere": "MISFIT",
        JOIN.name: "caught",
        "seen_by_another_test": "SURVIVED",
        "no_sql": "BROKEN",
    }
    # In the end once more, what is to be looked at.
    [survivor] = [line for line in lines if re.match(r"SURVIVED \d/6 changes_nothing ", line)]
    assert survivor.endswith(f" in {KEY.file}: {KEY.caught_by} stayed green")
    assert code == 1


def test_every_mutant_caught_is_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([KEY], jobs=1, as_json=True) == 0

    [document] = capsys.readouterr().out.splitlines()
    assert json.loads(document)["mutants"][0]["outcome"] == "caught"


def test_nothing_is_proved_by_a_test_that_is_red_without_any_mutant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = replace(KEY, caught_by="tests/materializer/test_gate.py::test_that_is_not_there")

    assert run([nowhere], jobs=1, as_json=False) == 1

    assert capsys.readouterr().out.startswith("nothing is proved, the project itself is not green")
