"""
`materializer publish`: copies what passed the gate from the warehouse to the offline store.

Responsible for the steps of one group: check the gate, find the days that are not published, check
that their rows are those that were built, publish them. Does not publish a model whose gate is not
green; the store then keeps its last good state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import DONE, GateRed
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import LastPublish, last_published, publish_days
from materializer.outcome import Outcome, attempt
from materializer.registry import FeatureGroup, Registry
from materializer.training.publish import Publishing, publish_training_set
from materializer.views.publish import publish_view
from materializer.warehouse.gate import require_days_as_built, require_green
from materializer.warehouse.reader import BuiltDay, open_warehouse


def publish(
    settings: Settings,
    registry: Registry,
    console: Console,
    *,
    wait: float,
    allow_removals: bool,
    take_over: bool,
    project_dir: Path,
) -> list[Outcome]:
    """
    Publish groups, training sets and feature views. Call it under the run lock.

    With *take_over*, also those that another warehouse published.

    Waits up to *wait* seconds for a build that holds the warehouse. The commit of *project_dir*
    goes into the receipts.

    Returns:
        One outcome for each model; a refusal is an outcome, not an error.

    Raises:
        StoreUnavailable: Nothing was built yet, a build holds the warehouse for longer than *wait*,
            or the catalog cannot be opened.
    """
    catalog = open_catalog(settings, note=console.note)
    refused: set[str] = set()
    outcomes: list[Outcome] = []
    with open_warehouse(settings, registry, wait=wait, on_wait=console.note) as warehouse:
        work = Publishing(
            registry, warehouse, catalog, settings, console, project_dir, refused, take_over
        )
        for name, step in _steps(work, allow_removals):
            outcome = attempt("publish", name, console, partial(_publish_own, name, step, work))
            outcomes.append(outcome)
            if outcome.code != DONE:
                refused.add(name)
    return outcomes


def _steps(work: Publishing, allow_removals: bool) -> Iterator[tuple[str, Callable[[], Outcome]]]:
    for group in work.registry.groups.values():
        yield group.name, partial(_publish_group, group, work, allow_removals)
    for training_set in work.registry.training_sets.values():
        yield training_set.name, partial(publish_training_set, training_set, work)
    for view in work.registry.views.values():
        yield view.name, partial(publish_view, view, work)


def _publish_own(name: str, step: Callable[[], Outcome], work: Publishing) -> Outcome:
    work.require_own(name)
    return step()


def _publish_group(group: FeatureGroup, work: Publishing, allow_removals: bool) -> Outcome:
    started = time.perf_counter()
    warehouse, console, name = work.warehouse, work.console, group.name
    require_green(name, group.unique_id, work.registry, warehouse)
    built = warehouse.built_days(group.unique_id)
    sequence = warehouse.sequences()[group.unique_id]
    definition = warehouse.definition(group.unique_id, sequence)
    group = replace(_as_built(group, built), definition=definition)
    warehouse_id = warehouse.warehouse_id()
    removed = warehouse.removed_days(group.unique_id)
    written = sorted([*built, *removed], key=lambda written_day: written_day.day)
    waiting = unpublished(written, last_published(work.catalog, name), warehouse_id)
    require_days_as_built(group, waiting, warehouse)
    report = publish_days(
        work.catalog,
        group,
        days=[day.day for day in waiting],
        rows=partial(warehouse.day_of, group),
        warehouse_id=warehouse_id,
        ledger_sequence=sequence,
        built_days=[day.day for day in built],
        allow_removals=allow_removals,
        progress=lambda done, days: console.progress(f"publish {name}", done, days, "days"),
    )
    if not waiting:
        console.print(f"published {name}: up to date")
        return Outcome("publish", name, DONE, "up to date")
    seconds = time.perf_counter() - started
    console.print(f"published {name}: {report}, {seconds:.1f} s")
    facts = {**report.to_dict(), "seconds": round(seconds, 3)}
    return Outcome("publish", name, DONE, "done", facts)


def unpublished(
    days: Sequence[BuiltDay], last: LastPublish | None, warehouse_id: str
) -> list[BuiltDay]:
    """Return the days whose last build is not published: all when the warehouse is a new one."""
    return [
        day
        for day in days
        if last is None or not last.holds(warehouse_id, day.sequence, day.built_at)
    ]


def _as_built(group: FeatureGroup, days: Sequence[BuiltDay]) -> FeatureGroup:
    """Return the group with the availability lag of its newest build, which a var may have set."""
    if not days:
        return group
    hours = max(days, key=lambda built: built.sequence).lag_hours
    if hours < 0:
        reason = (
            f"availability_lag_hours is {hours}: its rows could be used before their day is over; "
            "set the true lag, and build again"
        )
        raise GateRed(model=group.name, reasons=[reason])
    return replace(group, availability_lag_hours=hours)
