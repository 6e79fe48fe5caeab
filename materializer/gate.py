"""
The gate's judgement: may this build of this model go out?

Owns one rule, as a pure function of what the records say: every gate test that refs the model must
have run since the builds that stand now, and have passed or only warned. Refuses the benefit of the
doubt: no test, no verdict, an older build, a skipped test, each is a no with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from materializer.errors import GateRed
from materializer.registry import GateTest, Registry
from materializer.warehouse import Verdict, Warehouse

_GOOD = frozenset({"pass", "warn"})


def require_green(name: str, unique_id: str, registry: Registry, warehouse: Warehouse) -> None:
    """
    Stop unless every gate test that guards a model has passed on its newest build.

    Raises:
        GateRed: It names each test that failed, was skipped, is missing or spoke of an older build.
    """
    reasons = objections(unique_id, registry.gate, warehouse.verdicts(), warehouse.sequences())
    if reasons:
        raise GateRed(model=name, reasons=reasons)


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
    said: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        said.setdefault(verdict.test, []).append(verdict)
    reasons = []
    for test in guarding:
        reason = _objection(test, said.get(test.unique_id, []), sequences)
        if reason is not None:
            reasons.append(f"{test.name} {reason}")
    return reasons


def _objection(test: GateTest, verdicts: list[Verdict], sequences: Mapping[str, int]) -> str | None:
    heard = {verdict.model: verdict for verdict in verdicts}
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


def _rows(verdict: Verdict) -> str:
    if not verdict.failures:
        return ""
    return f" ({verdict.failures:,} row{'' if verdict.failures == 1 else 's'})"
