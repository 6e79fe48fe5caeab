"""
`materializer publish`: what passed the gate goes from the warehouse into the offline store.

Owns the way of one model: ask the gate, see what the ledger has that the store has not, hand those
days over. Refuses a model whose gate is not green; the store then keeps its last good state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import DONE, GateRed
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import LastPublish, last_published, publish_days
from materializer.outcome import Outcome, attempt
from materializer.registry import FeatureGroup, Registry
from materializer.training.publish import Publishing, publish_training_set
from materializer.views.publish import publish_view
from materializer.warehouse.gate import require_as_built, require_green
from materializer.warehouse.reader import Warehouse, open_warehouse
from materializer.warehouse.records import BuiltDay


def publish(
    settings: Settings,
    registry: Registry,
    groups: Sequence[FeatureGroup],
    console: Console,
    *,
    wait: float,
    allow_removals: bool,
    training_sets: bool = True,
    project_dir: Path = Path(),
) -> list[Outcome]:
    """
    Publish groups, and the project's training sets and feature views. Call it under the run lock.

    Args:
        settings: Where warehouse and offline store are.
        registry: The project.
        groups: Which groups.
        console: Told what happens.
        wait: How long to wait for a build that holds the warehouse [s].
        allow_removals: Remove days and entities without asking.
        training_sets: Publish those and the feature views too.
        project_dir: The project; its commit goes into the receipts.

    Returns:
        One outcome a model; a refusal is an outcome, not an error.

    Raises:
        WarehouseLocked: A build holds the warehouse all the time.
        WarehouseMissing: Nothing was built yet.
        OfflineStoreUnavailable: The catalog cannot be opened.
    """
    catalog = open_catalog(settings)
    refused: set[str] = set()
    outcomes: list[Outcome] = []

    def step(name: str, work: Callable[[], Outcome]) -> None:
        outcome = attempt("publish", name, console, work)
        outcomes.append(outcome)
        if outcome.code != DONE:
            refused.add(name)

    with open_warehouse(settings.warehouse, registry, wait=wait, on_wait=console.note) as warehouse:
        for group in groups:
            step(
                group.name,
                partial(
                    _publish_group, group, registry, warehouse, catalog, console, allow_removals
                ),
            )
        if training_sets:
            work = Publishing(registry, warehouse, catalog, settings, console, project_dir, refused)
            for training_set in registry.training_sets.values():
                step(training_set.name, partial(publish_training_set, training_set, work))
            for view in registry.views.values():
                step(view.name, partial(publish_view, view, work))
    return outcomes


def _publish_group(
    group: FeatureGroup,
    registry: Registry,
    warehouse: Warehouse,
    catalog: Catalog,
    console: Console,
    allow_removals: bool,
) -> Outcome:
    started = time.perf_counter()
    require_green(group.name, group.unique_id, registry, warehouse)
    group = _as_built(group, warehouse)
    sequence = warehouse.sequences()[group.unique_id]
    warehouse_id = warehouse.warehouse_id()
    last = last_published(catalog, group.name)
    whole = last is None or last.warehouse_id != warehouse_id
    built = warehouse.built_days(group.unique_id)
    waiting = unpublished(built, last, warehouse_id)
    require_as_built(group, waiting, warehouse)
    days = [one.day for one in waiting]
    done = 0

    def progress(day: date, rows: int) -> None:
        nonlocal done
        done += 1
        console.progress(f"publish {group.name}", done, len(days), "days")

    report = publish_days(
        catalog,
        group,
        days=days,
        rows=lambda day: warehouse.day_of(group, day),
        warehouse_id=warehouse_id,
        ledger_sequence=sequence,
        built_days=[one.day for one in built],
        whole=whole,
        allow_removals=allow_removals,
        progress=progress,
    )
    seconds = time.perf_counter() - started
    if not days:
        console.print(f"published {group.name}: up to date")
        return Outcome("publish", group.name, DONE, "up to date")
    removed = f", {report.removed_days:,} removed" if report.removed_days else ""
    console.print(
        f"published {group.name}: {report.rows:,} rows in {report.days:,} days{removed}, "
        f"{seconds:.1f} s"
    )
    return Outcome(
        "publish",
        group.name,
        DONE,
        "done",
        {
            "rows": report.rows,
            "days": report.days,
            "removed_days": report.removed_days,
            "snapshot_id": str(report.snapshot_id),
            "seconds": round(seconds, 3),
        },
    )


def unpublished(
    days: Sequence[BuiltDay], last: LastPublish | None, warehouse_id: str
) -> list[BuiltDay]:
    """List the built days that the last publish has not seen; all of them in another warehouse."""
    if last is None or last.warehouse_id != warehouse_id:
        return list(days)
    # After the ledger was deleted its numbers start over; then the times tell.
    return [
        built
        for built in days
        if built.sequence > last.ledger_sequence or built.built_at > last.published_at
    ]


def _as_built(group: FeatureGroup, warehouse: Warehouse) -> FeatureGroup:
    """
    Take the lag that the rows carry, which a var may have set, in place of the declared one.

    Raises:
        GateRed: The rows could be used before their day is over.
    """
    hours = warehouse.lag_hours(group.unique_id)
    if hours is None:
        return group
    if hours < 0:
        raise GateRed(
            model=group.name,
            reasons=[
                f"availability_lag_hours is {hours}: its rows could be used before their day is "
                "over; set the true lag and run: dbt build"
            ],
        )
    return replace(group, availability_lag_hours=hours)
