"""
The gate's judgement: may this build of this model go out?

Owns two rules, as pure functions of what the records say: every gate test that refs the model must
have run since the builds that stand now, and have passed or only warned; and the rows must be those
that the build wrote. Refuses the benefit of the doubt: no test, no verdict, an older build, a
skipped test, an edited row, each is a no with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from materializer.days import day_ranges
from materializer.errors import GateRed
from materializer.registry import Column, FeatureGroup, GateTest, Registry
from materializer.warehouse.reader import Warehouse
from materializer.warehouse.records import BuiltDay, Verdict

_GOOD = frozenset({"pass", "warn"})
# So many runs of days are named; after an edit of everything there is one, of single days many.
_NAMED_RUNS = 5


def require_green(name: str, unique_id: str, registry: Registry, warehouse: Warehouse) -> None:
    """
    Stop unless every gate test that guards a model has passed on its newest build.

    Raises:
        GateRed: It names each test that failed, was skipped, is missing or spoke of an older build.
    """
    reasons = objections(unique_id, registry.gate, warehouse.verdicts(), warehouse.sequences())
    if reasons:
        raise GateRed(model=name, reasons=reasons)


def require_whole_as_built(
    name: str,
    unique_id: str,
    relation_name: str,
    columns: Sequence[Column],
    warehouse: Warehouse,
) -> None:
    """
    Stop unless the rows of a model that is not built by day are those that its build wrote.

    Raises:
        GateRed: They are not.
    """
    built = warehouse.built_whole(unique_id)
    found = warehouse.content_of(relation_name, columns)
    change = _change(None if built is None else built.content, found)
    if change is not None:
        raise GateRed(model=name, reasons=[f"its rows {change}; run: dbt build"])


def require_as_built(group: FeatureGroup, days: Sequence[BuiltDay], warehouse: Warehouse) -> None:
    """
    Stop unless the rows of days are those that the build wrote.

    Raises:
        GateRed: It names days that differ, and the command that builds them.
    """
    reasons = changes(days, warehouse.content_of_days(group, [built.day for built in days]))
    if reasons:
        raise GateRed(model=group.name, reasons=reasons)


def changes(days: Iterable[BuiltDay], contents: Mapping[date, str]) -> list[str]:
    """
    List days that do not hold what their build wrote; empty means that all do.

    Args:
        days: What the ledger has, in order.
        contents: What the days hold now.

    Returns:
        One short reason a run of days, and what to run.
    """
    differing: dict[str, list[date]] = {}
    for built in days:
        change = _change(built.content, contents[built.day])
        if change is not None:
            differing.setdefault(change, []).append(built.day)
    found = [(run, change) for change, some in differing.items() for run in day_ranges(some)]
    more = sum(len(run) for run, _ in found[_NAMED_RUNS:])
    return [
        *(f"the rows of {run} {change}; run: {run.command}" for run, change in found[:_NAMED_RUNS]),
        *([f"and so on for {more} more days"] if more else []),
    ]


def _change(written: str | None, found: str) -> str | None:
    if written is None:
        return "were built by an older version, which did not record what it wrote"
    if written != found:
        return "are not those that the build wrote (edited by hand?)"
    return None


def objections(
    model: str,
    tests: Iterable[GateTest],
    verdicts: Iterable[Verdict],
    sequences: Mapping[str, int],
) -> list[str]:
    """
    List why a model may not be published; empty means it may.

    Args:
        model: dbt's id of the model.
        tests: The gate tests of the project.
        verdicts: What each test said when it last ran, one entry a guarded model.
        sequences: Each model's newest ledger sequence.

    Returns:
        One short reason a failed or missing test, and what to run.
    """
    if model not in sequences:
        return ["it was never built, or the ledger was deleted; run: dbt build --full-refresh"]
    guarding = [test for test in tests if model in test.guards]
    if not guarding:
        return ["no gate test guards it; add one with the tag gate"]
    heard = list(verdicts)
    reasons = [(test, _objection(test, heard, sequences)) for test in guarding]
    return [
        *(f"{test.name} {reason}" for test, reason in reasons if reason is not None),
        *_silenced(model, guarding, heard, sequences[model]),
    ]


def _objection(
    test: GateTest, verdicts: Iterable[Verdict], sequences: Mapping[str, int]
) -> str | None:
    heard = {verdict.model: verdict for verdict in verdicts if verdict.test == test.unique_id}
    for model in test.guards:
        verdict = heard.get(model)
        # A view has no builds of its own, and of a seed nothing is recorded at all.
        current = sequences.get(model)
        if verdict is None and current is None:
            continue
        if verdict is None:
            return "has no verdict; run: dbt test"
        if verdict.status not in _GOOD:
            return f"said {verdict.status}{_rows(verdict)}; see: dbt test --select {test.name}"
        if verdict.model_sequence != current:
            return "spoke of an older build; run: dbt test"
    return None


def _silenced(
    model: str, guarding: Iterable[GateTest], verdicts: Iterable[Verdict], sequence: int
) -> list[str]:
    """A test that was red of this build does not become green by being taken out."""
    here = {test.name for test in guarding}
    return [
        f"{_name(verdict.test)} said {verdict.status}{_rows(verdict)} and guards it no more; "
        "put the test back, or build the rows anew"
        for verdict in verdicts
        if (verdict.model, verdict.model_sequence) == (model, sequence)
        and verdict.status not in _GOOD
        and _name(verdict.test) not in here
    ]


def _name(test: str) -> str:
    # test.<project>.<name>, and of a generic test a hash of its arguments, which may change.
    parts = test.split(".")
    return parts[2] if len(parts) > 2 else test


def _rows(verdict: Verdict) -> str:
    if not verdict.failures:
        return ""
    return f" ({verdict.failures:,} row{'' if verdict.failures == 1 else 's'})"
