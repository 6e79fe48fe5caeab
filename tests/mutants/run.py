"""
Prove the tests: put each known bug into a copy of the project and see the test it names turn red.

    python -m tests.mutants.run                       every mutant
    python -m tests.mutants.run --only NAME [NAME]    some
    python -m tests.mutants.run --list                what there is
    python -m tests.mutants.run --json                one JSON document in the end

First the project itself must be green on the same data, or nothing is proved. Exit code 0: every
mutant was caught. 1: one survived, is broken, or its patch no longer fits; or the project is red.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from tests.mutants.catalogue import Mutant, NoLongerFits, chosen, read
from tests.mutants.trial import (
    Said,
    Word,
    ask_dbt,
    ask_pytest,
    copy_project,
    start_servers,
    try_mutant,
)

CAUGHT, SURVIVED, BROKEN, MISFIT = "caught", "survived", "broken", "misfit"
_OUTCOMES = {Word.RED: CAUGHT, Word.GREEN: SURVIVED, Word.NOTHING: BROKEN}


class NotGreen(Exception):
    """The project without any bug does not pass the tests that mutants name."""


@dataclass(frozen=True, slots=True)
class Result:
    """
    How one mutant fared.

    Attributes:
        name: The mutant.
        file: The file it is in.
        caught_by: The test that it names.
        outcome: `caught`, `survived`, `broken` or `misfit`.
        seconds: How long the trial took [s].
        detail: What else is to be told, empty mostly.
    """

    name: str
    file: str
    caught_by: str
    outcome: str
    seconds: float
    detail: str

    def line(self, number: int, total: int) -> str:
        """Tell it in one line."""
        place = f"{number}/{total} {self.name}"
        if self.outcome == CAUGHT:
            return f"caught {place} by {self.caught_by}, {self.seconds:.1f} s"
        told = {
            SURVIVED: f"{self.caught_by} stayed green",
            BROKEN: f"{self.caught_by} gave no verdict",
            MISFIT: f"to be caught by {self.caught_by}",
        }[self.outcome]
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.outcome.upper()} {place} in {self.file}: {told}{detail}"


def require_green(base: Path, mutants: Sequence[Mutant], jobs: int) -> None:
    """
    Build and test the project without any bug, on the same data and with the same tests.

    Raises:
        NotGreen: A test that a mutant names is not green.
    """
    nodes = {mutant.caught_by for mutant in mutants if mutant.is_for_pytest}
    named: dict[str, set[str]] = {}
    for mutant in mutants:
        if not mutant.is_for_pytest:
            named.setdefault(mutant.schedule, set()).add(mutant.caught_by)
    asked: dict[str, Future[Said]] = {}
    words = {}
    if named:
        # The first dbt run parses; the others start from what it has parsed.
        words["whole"] = ask_dbt("whole", sorted(named.pop("whole", ())), base)
    with ThreadPoolExecutor(jobs) as pool:
        # Those of one folder share what they build.
        for folder, some in groupby(sorted(nodes), key=lambda node: node.rpartition("/")[0]):
            asked[folder] = pool.submit(ask_pytest, list(some), base)
        for schedule, tests in named.items():
            copy = base.with_name(f"green_{schedule}")
            asked[schedule] = pool.submit(_green_schedule, schedule, sorted(tests), copy)
        words |= {name: future.result() for name, future in asked.items()}
    red = [f"{name}: {said.detail}" for name, said in words.items() if said.word != Word.GREEN]
    if red:
        raise NotGreen("; ".join(red))


def _green_schedule(schedule: str, tests: Sequence[str], folder: Path) -> Said:
    return ask_dbt(schedule, tests, copy_project(folder))


def try_all(base: Path, mutants: Sequence[Mutant], jobs: int) -> Iterator[Result]:
    """Try mutants, so many at a time; the results come as they are ready."""
    with ThreadPoolExecutor(jobs) as pool:
        trials = [pool.submit(_try, mutant, base) for mutant in mutants]
        for trial in as_completed(trials):
            yield trial.result()


def _try(mutant: Mutant, base: Path) -> Result:
    started = time.perf_counter()
    try:
        said = try_mutant(mutant, base, base.with_name(mutant.name))
        outcome, detail = _OUTCOMES[said.word], said.detail
    except NoLongerFits as error:
        outcome, detail = MISFIT, str(error)
    if outcome == CAUGHT:
        detail = ""
    seconds = round(time.perf_counter() - started, 1)
    return Result(mutant.name, mutant.file, mutant.caught_by, outcome, seconds, detail)


def run(mutants: Sequence[Mutant], *, jobs: int, as_json: bool) -> int:
    """
    Try mutants and tell of each.

    Returns:
        The exit code.
    """
    started = time.perf_counter()
    told = sys.stderr if as_json else sys.stdout
    results = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        base = copy_project(Path(folder).resolve() / "project")
        start_servers()
        try:
            require_green(base, mutants, jobs)
        except NotGreen as error:
            print(f"nothing is proved, the project itself is not green: {error}", file=told)
            if as_json:
                print(json.dumps({"error": str(error)}))
            return 1
        seconds = time.perf_counter() - started
        print(f"the project itself is green, {seconds:.1f} s", file=told, flush=True)
        for result in try_all(base, mutants, jobs):
            results.append(result)
            print(result.line(len(results), len(mutants)), file=told, flush=True)
    return _conclude(results, time.perf_counter() - started, as_json)


def _conclude(results: Sequence[Result], seconds: float, as_json: bool) -> int:
    caught = [result for result in results if result.outcome == CAUGHT]
    missed = [result for result in results if result.outcome != CAUGHT]
    if as_json:
        document = {
            "caught": len(caught),
            "total": len(results),
            "seconds": round(seconds, 1),
            "mutants": [asdict(result) for result in sorted(results, key=lambda r: r.name)],
        }
        print(json.dumps(document))
        return 1 if missed else 0
    print()
    for test in sorted({result.caught_by for result in caught}):
        names = sorted(result.name for result in caught if result.caught_by == test)
        print(f"{test}: {', '.join(names)}")
    print(f"\ncaught {len(caught)} of {len(results)} mutants in {seconds:.0f} s")
    for number, result in enumerate(missed, 1):
        print(result.line(number, len(missed)))
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants.run",
        description="Put each known bug into a copy and see the test it names turn red.",
        allow_abbrev=False,
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these mutants")
    parser.add_argument("--list", action="store_true", help="show the mutants and try none")
    parser.add_argument("--json", action="store_true", help="print one JSON document in the end")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at a time (2)")
    return parser


def main() -> int:
    """Run the command line."""
    parser = _parser()
    asked = parser.parse_args()
    try:
        mutants = chosen(read(), asked.only)
    except KeyError as error:
        parser.error(f"no mutant is called {error.args[0]}; see --list")
    if asked.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.why} [{mutant.file}; {mutant.caught_by}]")
        return 0
    return run(mutants, jobs=asked.jobs, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
