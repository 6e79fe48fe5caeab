"""
What the build records tell of a group, in the words of `status`.

Owns what can be said without looking at any data: which days are frozen, what to run, what the
last build made and why. Refuses to guess which built days are dirty: only dbt sees the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from materializer.config import format_time
from materializer.days import DayRange, day_ranges
from materializer.registry import FeatureGroup, Registry
from materializer.warehouse.gate import objections
from materializer.warehouse.reader import Warehouse
from materializer.warehouse.records import BuiltDay, LastBuild

_DAY = timedelta(days=1)
# So many runs of frozen days are named; there is one, unless a range was built among them.
_NAMED_RUNS = 5


@dataclass(frozen=True, slots=True)
class BuildStatus:
    """
    What the warehouse says of a group.

    Attributes:
        days: Its built days.
        gate: Why it may not be published, empty when it may; None when nobody could ask.
        warehouse_id: Which warehouse says so.
        first_event: Day of the first event that any build saw.
        frozen: Days that rest on events that are no longer kept.
        lag: Under which its rows were stamped.
        last_build: Its newest build.
        problem: Why the warehouse could not be asked, or None.
    """

    days: Sequence[BuiltDay] = ()
    gate: Sequence[str] | None = None
    warehouse_id: str = ""
    first_event: date | None = None
    frozen: Sequence[date] = ()
    lag: timedelta | None = None
    last_build: LastBuild | None = None
    problem: str | None = None

    def commands(self, now: datetime) -> list[str]:
        """List what to run: for finished days that are missing, and for days of older SQL."""
        if self.problem is not None:
            return []
        if not self.days:
            return ["dbt build"]
        if self.first_event is None:
            # Built whole each time: a day without rows is one on which nothing changed.
            return []
        first = min(self.days[0].day, self.first_event)
        built = {day.day for day in self.days}
        span = (now.date() - first).days
        missing = [day for day in (first + n * _DAY for n in range(span)) if day not in built]
        newest = max(self.days, key=lambda day: day.sequence)
        # To build a frozen day again would take rows away.
        kept = built.difference(self.frozen)
        older = [d.day for d in self.days if d.checksum != newest.checksum and d.day in kept]
        return [
            *(f"{run.command}  # missing" for run in day_ranges(missing)),
            *(f"{run.command}  # built by older SQL" for run in day_ranges(older)),
        ]

    @property
    def frozen_runs(self) -> list[DayRange]:
        """The frozen days in runs."""
        return day_ranges(self.frozen)

    def lines(self) -> list[tuple[str, str]]:
        """Say the last build, and the frozen days if there are any."""
        said = []
        if self.last_build is not None:
            made = ", ".join(
                f"{days:,} day{'' if days == 1 else 's'} {reason}"
                for reason, days in self.last_build.reasons.items()
            )
            at = format_time(self.last_build.built_at.replace(microsecond=0))
            said.append(("last build", f"{made}, at {at}"))
        if self.frozen:
            named = ", ".join(str(run) for run in self.frozen_runs[:_NAMED_RUNS])
            count = f"{len(self.frozen):,} day{'' if len(self.frozen) == 1 else 's'}"
            more = " and more" if len(self.frozen_runs) > _NAMED_RUNS else ""
            said.append(("frozen", f"{count}, {named}{more}: their events are no longer kept"))
        return said

    def document(self) -> dict[str, object]:
        """Say the same to a machine."""
        last = self.last_build
        return {
            # Null, not empty, when nobody could ask.
            "gate": None if self.gate is None else list(self.gate),
            "last_build": None
            if last is None
            else {"built_at": format_time(last.built_at), "days": dict(last.reasons)},
            "frozen": [
                {"first": str(run.first), "last": str(run.last), "days": len(run)}
                for run in self.frozen_runs
            ],
        }


def build_status(group: FeatureGroup, registry: Registry, warehouse: Warehouse) -> BuildStatus:
    """Ask the warehouse about a group."""
    model = group.unique_id
    hours = warehouse.lag_hours(model)
    days = warehouse.built_days(model)
    return BuildStatus(
        days=days,
        gate=objections(model, registry.gate, warehouse.verdicts(), warehouse.sequences()),
        warehouse_id=warehouse.warehouse_id(),
        first_event=warehouse.first_event_day(model),
        frozen=frozen(days, warehouse.newest_first_event_day(model), registry.windows.get(model)),
        lag=None if hours is None else timedelta(hours=hours),
        last_build=warehouse.last_build(model),
    )


def frozen(days: Sequence[BuiltDay], first_event: date | None, window: int | None) -> list[date]:
    """
    Tell which days dbt leaves alone, for they rest on events that are no longer kept.

    Args:
        days: What the ledger has.
        first_event: UTC day of the first event that the newest build saw.
        window: Days of events, its own included, that one day depends on; None when the group does
            not heal.

    Returns:
        The days, in order. The macro `plan_days` has the same rule.
    """
    if first_event is None or window is None:
        return []
    return [
        built.day
        for built in days
        if built.day - (window - 1) * _DAY < first_event
        and built.first_event is not None
        and built.first_event < first_event
    ]
