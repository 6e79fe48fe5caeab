"""
`dbt build`, shown to a person in a few lines.

Owns what is worth telling of it: the models' own words on their plans, counts, the verdict of each
test, and of what is red the rows or the reason. Refuses to hide a failure that it cannot name: then
the whole log is printed.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from examples.steps import Shell, StepFailed
from materializer.errors import FeatureStoreError, Refused

_CLOCK = re.compile(r"^\d\d:\d\d:\d\d  ")
_RED = ("fail", "error", "runtime error")

Result = Mapping[str, Any]


class BuildRed(Refused):
    """A test of a build is red."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"red: {', '.join(names)}; nothing was published")


class BuildFailed(FeatureStoreError):
    """Something of a build could not be made."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"failed: {', '.join(names)}; nothing was published")


class Build:
    """
    One `dbt build`, done.

    Args:
        results: Results of its nodes, as dbt writes them.
        log: What it printed.
    """

    def __init__(self, results: Sequence[Result], log: str) -> None:
        self._results = results
        self._lines = [_CLOCK.sub("", line) for line in log.splitlines()]

    def print_counts(self) -> None:
        """Print the plans of the models, and how much was built."""
        for line in self._lines:
            if " days " in line or " day " in line or "every finished day" in line:
                print(f"  {line.strip()}")
        kinds = Counter((_kind(result), result["status"]) for result in self._results)
        what = "seeds, snapshots" if kinds["snapshot", "success"] else "seeds"
        made = sum(kinds[kind, "success"] for kind in ("seed", "snapshot", "model"))
        print(f"  built {made} {what} and models")
        if kinds["unit_test", "pass"]:
            print(f"  {kinds['unit_test', 'pass']} unit tests passed")

    def print_verdicts(self) -> None:
        """
        Print the result of each test, and of what is red why.

        Raises:
            BuildRed: A test is red.
            BuildFailed: None is, and something else failed.
        """
        for result in self._results:
            if _kind(result) == "test":
                print(f"  {result['status']:<8} {_name(result)}")
        red = [result for result in self._results if result["status"] in _RED]
        for result in red:
            for line in [*self._rows(_name(result))] or _reason(result):
                print(f"  {_name(result)}: {line}")
        if red:
            names = [_name(result) for result in red]
            tests = any(_kind(result) in ("test", "unit_test") for result in red)
            raise BuildRed(names) if tests else BuildFailed(names)

    def _rows(self, test: str) -> Iterator[str]:
        """List what the log shows of the rows that a test found."""
        lines = iter(self._lines)
        for line in lines:
            if line.startswith(f"FAIL {test} ("):
                break
        for line in lines:
            if not line.startswith("  "):
                return
            yield line.strip()


def build(shell: Shell) -> Build:
    """
    Print `dbt build`, and run it.

    Raises:
        StepFailed: dbt failed before it ran anything; all its output was printed.
    """
    print(f"$ {shell.shown(['dbt', 'build'])}", flush=True)
    written = shell.folder / "target" / "run_results.json"
    written.unlink(missing_ok=True)
    given = ["--vars", json.dumps(dict(shell.variables))] if shell.variables else []
    done = subprocess.run(
        ["dbt", "build", "--no-use-colors", *given],
        cwd=shell.folder,
        env=shell.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    results = json.loads(written.read_text())["results"] if written.exists() else []
    if done.returncode and not any(result["status"] in _RED for result in results):
        print(done.stdout)
        raise StepFailed("dbt build", done.returncode)
    return Build(results, done.stdout)


def _kind(result: Result) -> str:
    return str(result["unique_id"]).split(".")[0]


def _name(result: Result) -> str:
    return str(result["unique_id"]).split(".")[2]


def _reason(result: Result) -> list[str]:
    lines = [line.strip() for line in str(result["message"]).splitlines()]
    # The first line says where; the reason follows it.
    return [line for line in lines if line][1:2] or lines[:1]
