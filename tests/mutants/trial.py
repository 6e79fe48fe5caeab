"""
One mutant, tried: a copy of the project with the bug in it, and what the named test says there.

Owns the judgement. Caught is a named test that ran and failed; a test that passed, or only warned,
did not see the bug. Refuses to take any other failure for it: SQL that does not compile, a module
that cannot be imported, a fixture that breaks, a test that did not run are a broken mutant.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from tests.mutants.catalogue import Mutant
from tests.mutants.schedules import DbtFailed, run_schedule
from tests.support.dbt import ROOT, SERVER, server_address
from tests.support.fork_server import ForkedProcess, start_server

_FOLDERS = ("dbt_project", "materializer", "serve", "tests")
_FILES = ("dbt_project.yml", "profiles.yml", "pyproject.toml")

# What runs leave in the copy they are made from.
_LEFT = shutil.ignore_patterns("home", "logs", "pytest-*")

# A test of pytest that takes longer [s] hangs.
_TIMEOUT = 120

# The end of a failure in a report of pytest: where it was raised, and what.
_RAISED = re.compile(r"^(\S+?):\d+: (\w+)$", re.MULTILINE)
_NO_IMPORT = {"ImportError", "ModuleNotFoundError", "NameError", "SyntaxError"}
_NO_DBT = re.compile(r"(Compilation|Parsing|Parser|Binder|Catalog) Error")


class Word(Enum):
    """What a test said."""

    GREEN = "green"
    RED = "red"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Said:
    """
    What the named test said, and what else is to be told.

    Attributes:
        word: Its word.
        detail: One line: which tests were red, or why it said nothing.
    """

    word: Word
    detail: str = ""


def copy_project(folder: Path) -> Path:
    """Copy what builds and tests need; sample and docs are linked, for no mutant changes them."""
    folder.mkdir(parents=True)
    for name in _FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for name in _FILES:
        shutil.copy2(ROOT / name, folder / name)
    for name in ("docs", "seeds"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def try_mutant(mutant: Mutant, base: Path, folder: Path) -> Said:
    """
    Ask the named test about a copy with the bug in it.

    Args:
        mutant: The bug.
        base: A copy of the project without it, in which dbt has parsed.
        folder: Where the copy goes; it is removed afterwards.

    Raises:
        NoLongerFits: The patch does not fit.
    """
    text = mutant.patched(base)
    shutil.copytree(base, folder, symlinks=True, ignore=_LEFT)
    try:
        (folder / mutant.file).write_text(text, encoding="utf-8")
        if mutant.is_for_pytest:
            return ask_pytest([mutant.caught_by], folder)
        return ask_dbt(mutant.schedule, [mutant.caught_by], folder)
    finally:
        shutil.rmtree(folder)


def ask_dbt(schedule: str, tests: Sequence[str], folder: Path) -> Said:
    """Run a schedule in a copy, and tell the least that one of these gate tests said."""
    try:
        run = run_schedule(schedule, folder)
    except DbtFailed as failure:
        return Said(Word.NOTHING, _line(str(failure)))
    statuses = {test: run.statuses.get(test, "did not run") for test in tests}
    red = sorted(name for name, status in run.statuses.items() if status in {"fail", "error"})
    told = f"red: {', '.join(red)}" if red else ""
    silent = {test: said for test, said in statuses.items() if said not in {"pass", "warn", "fail"}}
    if silent:
        return Said(Word.NOTHING, "; ".join(f"{test}: {said}" for test, said in silent.items()))
    if "fail" in statuses.values():
        return Said(Word.RED, told)
    return Said(Word.GREEN, told)


@cache
def pytest_address() -> str:
    """Return the address of the server of pytest, one for each process."""
    return start_server("tests.mutants.pytest_server")


def start_servers() -> None:
    """Start the servers that every trial uses, before threads ask for them."""
    server_address()
    pytest_address()


def ask_pytest(nodes: Sequence[str], folder: Path) -> Said:
    """Run tests of pytest in a copy, on the code in that copy."""
    place = Path(tempfile.mkdtemp(prefix="pytest-", dir=folder))
    report, output = place / "report.xml", place / "output.txt"
    options = ["--quiet", "--exitfirst", "-p", "no:cacheprovider"]
    # The server has imported plugins that pytest would have rewritten.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += [f"--junitxml={report}", f"--basetemp={place / 'tmp'}"]
    request = {
        "args": [*nodes, *options],
        "env": environment(folder),
        "folder": str(folder),
        "output": str(output),
    }
    process = ForkedProcess(pytest_address(), request)
    timeout = _TIMEOUT * (1 + len(nodes))
    code = process.wait(timeout)
    if code is None:
        process.kill_hung()
        return Said(Word.NOTHING, f"it did not end within {timeout} s")
    if not report.is_file():
        return Said(Word.NOTHING, _line(output.read_text()))
    imported_from = Path(process.report["imported_from"])
    if not imported_from.is_relative_to(folder):
        return Said(Word.NOTHING, f"the tests import modules from {imported_from}")
    return _judge(ET.parse(report), code, output.read_text(), folder / "tests")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which a copy's modules come first, and dbt is warm."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "FEATURE_S", "REDIS_URL", "PYICEBERG_", "DBT_"))
    }
    return {**kept, SERVER: server_address(), "PYTHONPATH": str(folder)}


def _judge(report: ET.ElementTree[ET.Element], code: int, output: str, tests: Path) -> Said:
    broken = [node.get("message", "") for tag in ("error", "skipped") for node in report.iter(tag)]
    broken += [
        node.get("message", "")
        for node in report.iter("failure")
        if not _is_own_word(node.text or "", tests)
    ]
    if broken or code not in {0, 1} or report.find(".//testcase") is None:
        return Said(Word.NOTHING, _line("\n".join(broken) or output))
    red = [case.get("name", "") for case in report.iterfind(".//testcase[failure]")]
    return Said(Word.RED, f"red: {', '.join(red)}") if red else Said(Word.GREEN)


def _is_own_word(failure: str, tests: Path) -> bool:
    """Tell whether a test failed by what it checks, and not because the code fell over."""
    raised = _RAISED.findall(failure)
    if not raised or _NO_DBT.search(failure):
        return False
    path, error = raised[-1]
    return (tests.parent / path).is_relative_to(tests) and error not in _NO_IMPORT


def _line(text: str) -> str:
    """Find the line that tells what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line] or lines[-1:]
    return told[0][:200] if told else "it said nothing"
