"""
The gate: may this build of this model be published?

Responsible for refusing a model, with every reason. Does not decide which gate tests object: the
view `gate_objections` does. What a build wrote is in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

from materializer.days import day_ranges
from materializer.errors import GateRed
from materializer.registry import Column, FeatureGroup, Registry
from materializer.warehouse.reader import Build, BuiltDay, Warehouse

# An edit of everything is one range of days; edits of single days are many.
_NAMED_RANGES = 5

_CHANGED = "are not those that the build wrote (edited by hand?)"


def objections(model: str, registry: Registry, warehouse: Warehouse) -> list[str]:
    """Return why a model, by dbt's id, may not be published, one short reason each."""
    declared: dict[str | None, str]
    declared = {test.unique_id: test.name for test in registry.gate_tests_of(model)}
    recorded = warehouse.gate_tests(model)
    # A test that dbt has not recorded yet never ran.
    unrecorded = [
        f"{name} has no verdict; run: {warehouse.commands.test()}"
        for test, name in (declared or {None: "its gate"}).items()
        if test not in recorded
    ]
    return [*warehouse.objections(model), *unrecorded]


def require_green(name: str, model: str, registry: Registry, warehouse: Warehouse) -> None:
    """Raise `GateRed` unless every gate test of a model has passed on its current build."""
    refuse(name, objections(model, registry, warehouse))


def require_table_as_built(
    name: str, unique_id: str, relation_name: str, columns: Sequence[Column], warehouse: Warehouse
) -> Build:
    """
    Return the newest build of a model that is not built by day, with its SQL.

    Raises:
        GateRed: The model holds other rows, or the SQL was deleted from the records.
    """
    build, commands = warehouse.newest_build(unique_id), warehouse.commands
    if build is None or build.content != warehouse.checksum(relation_name, columns):
        raise GateRed(model=name, reasons=[f"its rows {_CHANGED}; run: {commands.build()}"])
    if not build.sql:
        reason = f"its build left no SQL to keep; run: {commands.build(f'--select {name}')}"
        raise GateRed(model=name, reasons=[reason])
    return build


def require_days_as_built(
    group: FeatureGroup, days: Sequence[BuiltDay], warehouse: Warehouse
) -> None:
    """Raise `GateRed` unless days, given in order, hold the rows that their builds wrote."""
    checksums = warehouse.checksums_of_days(group, [built.day for built in days])
    changed = day_ranges(built.day for built in days if built.content != checksums[built.day])
    command = warehouse.commands.build_days
    reasons = [
        f"the rows of {changed_range} {_CHANGED}; run: {command(changed_range)}"
        for changed_range in changed[:_NAMED_RANGES]
    ]
    if more := sum(map(len, changed[_NAMED_RANGES:])):
        reasons.append(f"and so on for {more} more days")
    refuse(group.name, reasons)


def refuse(name: str, reasons: Sequence[str]) -> None:
    """Raise `GateRed` for these reasons, if there are any."""
    if reasons:
        raise GateRed(model=name, reasons=reasons)
