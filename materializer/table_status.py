"""
`materializer status` of a training set or a view: built, gated, published, under which receipt.

Owns these lines. Reads no rows: records, snapshot properties and the receipt tell it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.errors import FeatureStoreError, ReceiptUnreadable
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import last_published
from materializer.registry import FeatureView, Registry, TrainingSet
from materializer.training.files import TrainingFiles
from materializer.training.receipt import read_receipt
from materializer.warehouse.gate import objections
from materializer.warehouse.reader import Warehouse, open_warehouse
from materializer.warehouse.records import BuiltWhole


@dataclass(frozen=True, slots=True)
class _Standing:
    """
    What the warehouse says of a training set.

    Attributes:
        built: Its newest build, None when it was never built.
        gate: Why it may not be published, empty when it may; None when nobody could ask.
        sample_share: The smallest share of label rows that a gate test looked at.
        warehouse_id: Which warehouse says so.
        problem: Why the warehouse could not be asked, or None.
    """

    built: BuiltWhole | None = None
    gate: Sequence[str] | None = None
    sample_share: float = 1.0
    warehouse_id: str = ""
    problem: str | None = None


def describe(
    settings: Settings,
    registry: Registry,
    training_set: TrainingSet | FeatureView,
    console: Console,
    wait: float,
) -> dict[str, object]:
    """
    Say where a training set stands.

    Args:
        settings: Where the stores are.
        registry: The project.
        training_set: Which one.
        console: Told the result.
        wait: How long to wait for a build that holds the warehouse [s].

    Returns:
        The same for a machine.
    """
    try:
        with open_warehouse(
            settings.warehouse, registry, wait=wait, on_wait=console.note
        ) as warehouse:
            standing = _ask(training_set, registry, warehouse)
    except FeatureStoreError as error:
        standing = _Standing(problem=str(error))
    published = _published(settings, training_set, standing)
    tag = _tag(settings, training_set)
    built = standing.built
    console.print(training_set.name)
    if built is None:
        console.print(f"  {'built':<10} {standing.problem or 'nothing yet'}")
    else:
        at = format_time(built.built_at.replace(microsecond=0))
        console.print(f"  {'built':<10} {built.rows:,} rows, at {at}")
        say_gate(console, standing.gate, standing.sample_share)
    console.print(f"  {'published':<10} {published}")
    if tag is not None:
        console.print(f"  {'receipt':<10} {tag}")
    return {
        "training_set": training_set.name,
        "rows": None if built is None else built.rows,
        "built_at": None if built is None else format_time(built.built_at),
        "gate": None if standing.gate is None else list(standing.gate),
        "sample_share": standing.sample_share,
        "published": published,
        "receipt": tag,
        "problem": standing.problem,
    }


def say_gate(console: Console, gate: Sequence[str] | None, sample_share: float = 1.0) -> None:
    """Say whether the gate is green, and why not."""
    share = f", on {100 * sample_share:g} % of the label rows" if sample_share < 1 else ""
    console.print(f"  {'gate':<10} {'red' if gate else 'green'}{share}")
    for reason in gate or ():
        console.print(f"    {reason}")


def _ask(
    training_set: TrainingSet | FeatureView, registry: Registry, warehouse: Warehouse
) -> _Standing:
    model = training_set.unique_id
    verdicts = warehouse.verdicts()
    guarding = {test.unique_id for test in registry.guarding(model)}
    return _Standing(
        built=warehouse.built_whole(model),
        gate=objections(model, registry.gate, verdicts, warehouse.sequences()),
        sample_share=min((v.sample_share for v in verdicts if v.test in guarding), default=1.0),
        warehouse_id=warehouse.warehouse_id(),
    )


def _published(
    settings: Settings, training_set: TrainingSet | FeatureView, standing: _Standing
) -> str:
    try:
        last = last_published(open_catalog(settings), training_set.name)
    except FeatureStoreError as error:
        return str(error)
    if last is None:
        return "nothing yet"
    at = format_time(last.published_at.replace(microsecond=0))
    said = f"{last.rows:,} rows, at {at}"
    built = standing.built
    if built is not None and (
        last.warehouse_id != standing.warehouse_id
        or built.sequence != last.ledger_sequence
        or built.built_at > last.published_at
    ):
        return f"{said}; the newest build is not published"
    return said


def _tag(settings: Settings, training_set: TrainingSet | FeatureView) -> str | None:
    try:
        return read_receipt(
            TrainingFiles(settings.home / "training", training_set.name).receipt
        ).tag
    except ReceiptUnreadable:
        return None
