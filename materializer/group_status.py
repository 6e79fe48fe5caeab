"""
The status of one feature group: built, gated, published, pushed, and what to run.

Responsible for the document of a group and for its text. Reads no feature rows, and judges nothing:
which days are frozen, missing or of older SQL is in the view `day_status`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

import redis
from pyiceberg.catalog import Catalog

from materializer.config import format_time
from materializer.days import DayRange, day_ranges
from materializer.errors import FeatureStoreError
from materializer.offline.catalog import find_table, table_name
from materializer.offline.publish import LastPublish, last_published
from materializer.offline.removals import least_losses, published_rows
from materializer.online.state import read_meta
from materializer.publish import unpublished
from materializer.registry import FeatureGroup, Registry
from materializer.warehouse.gate import objections
from materializer.warehouse.reader import Warehouse
from materializer.warehouse.records import BuiltDay

# What `--json` prints, with the values that the text is made of.
Document = dict[str, Any]
# A label and what it says; further lines are indented.
Line = tuple[str, str]

_DAY = timedelta(days=1)
# There is one range of frozen days, unless a range was built among them.
_NAMED_RANGES = 5

Store = TypeVar("Store")
Value = TypeVar("Value")


def read_or_explain(store: Store | str, read: Callable[[Store], Value]) -> Value | str:
    """Return what *read* reads from a store, or why it cannot: a store may be a problem already."""
    if isinstance(store, str):
        return store
    try:
        return read(store)
    except FeatureStoreError as error:
        return str(error)


@dataclass(frozen=True, slots=True)
class Builds:
    """
    What the warehouse has of a group.

    Attributes:
        days: Its built days.
        missing: Finished days that it lacks.
        gate: Why it may not be published, empty when it may; None when unknown.
        warehouse_id: Which warehouse it is.
        problem: Why the warehouse cannot be read, or None.
    """

    days: Sequence[BuiltDay] = ()
    missing: Sequence[date] = ()
    gate: Sequence[str] | None = None
    warehouse_id: str = ""
    problem: str | None = None

    @property
    def newest(self) -> list[BuiltDay]:
        """The days of the newest build."""
        sequence = max((day.sequence for day in self.days), default=0)
        return [day for day in self.days if day.sequence == sequence]


def read_builds(group: FeatureGroup, registry: Registry, warehouse: Warehouse) -> Builds:
    """Read what the warehouse has of a group."""
    return Builds(
        days=warehouse.built_days(group.unique_id),
        missing=warehouse.missing_days(group.unique_id),
        gate=objections(group.unique_id, registry, warehouse),
        warehouse_id=warehouse.warehouse_id(),
    )


@dataclass(frozen=True, slots=True)
class Publication:
    """
    What is published of a group, and what a publish would do now.

    Attributes:
        newest_day: The newest published day, or None.
        waiting: How many built days are not published.
        guard: What the removal guard would refuse, by counts alone.
        problem: Why a reader does not see the last publish, or None.
    """

    newest_day: date | None = None
    waiting: int = 0
    guard: Sequence[str] = ()
    problem: str | None = None


def read_publication(group: FeatureGroup, builds: Builds, catalog: Catalog) -> Publication:
    """Read what is published of a group, and compare it with what is built."""
    last = last_published(catalog, group.name)
    waiting = unpublished(builds.days, last, builds.warehouse_id)
    guard = _foreseen_losses(group, builds, last, waiting, catalog)
    if last is None:
        return Publication(None, len(waiting), guard)
    if not last.visible:
        problem = "the last publish was interrupted; run: materializer publish"
        return Publication(None, len(waiting), guard, problem)
    return Publication(last.newest_day, len(waiting), guard)


def _foreseen_losses(
    group: FeatureGroup,
    builds: Builds,
    last: LastPublish | None,
    waiting: Sequence[BuiltDay],
    catalog: Catalog,
) -> list[str]:
    """Return what a publish would remove, from the counts of the ledger and of the files."""
    table = find_table(catalog, table_name(group.name))
    if last is None or table is None or not waiting:
        return []
    published = published_rows(table)
    new = {built.day: built.rows for built in waiting}
    if last.warehouse_id != builds.warehouse_id:
        # Another warehouse replaces everything.
        new = {**dict.fromkeys(published, 0), **new}
    return least_losses(published, new)


@dataclass(frozen=True, slots=True)
class Stage:
    """
    How far a group has come in one store.

    Attributes:
        day: Newest day there, None when there is none.
        problem: Why it is unknown, or None.
    """

    day: date | None
    problem: str | None

    def age(self, lag_hours: int, now: datetime) -> timedelta | None:
        """Return the time since the newest day became available."""
        if self.day is None:
            return None
        end = datetime.combine(self.day, time(), UTC) + _DAY
        return now - end - timedelta(hours=lag_hours)


def group_document(
    group: FeatureGroup,
    builds: Builds,
    catalog: Catalog | str,
    online: redis.Redis | str,
    now: datetime,
    max_age: timedelta | None,
) -> Document:
    """
    Return the status of a group.

    Args:
        group: The group.
        builds: What the warehouse has of it.
        catalog: The offline store, or why it cannot be opened.
        online: The online store, or why it cannot be reached.
        now: The time [aware, UTC].
        max_age: Oldest that its last stage may be, or None.
    """
    publication = read_or_explain(catalog, lambda store: read_publication(group, builds, store))
    if isinstance(publication, str):
        publication = Publication(problem=publication)
    stages = {
        "built": Stage(builds.days[-1].day if builds.days else None, builds.problem),
        "published": Stage(publication.newest_day, publication.problem),
    }
    if group.online:
        pushed = read_or_explain(online, lambda store: _pushed_day(group, store))
        stages["pushed"] = Stage(None, pushed) if isinstance(pushed, str) else Stage(pushed, None)
    newest = builds.newest
    lag_hours = newest[0].lag_hours if newest else group.availability_lag_hours
    ages = {name: stage.age(lag_hours, now) for name, stage in stages.items()}
    last_age = list(ages.values())[-1]
    return {
        "group": group.name,
        # Null, not empty, when it is unknown.
        "gate": None if builds.gate is None else list(builds.gate),
        "last_build": _last_build(newest),
        "frozen": [
            {"first": str(days.first), "last": str(days.last), "days": len(days)}
            for days in day_ranges(built.day for built in builds.days if built.is_frozen)
        ],
        "waiting_days": publication.waiting,
        "guard": list(publication.guard),
        "run": _commands(builds),
        **{name: _stage(stage, ages[name]) for name, stage in stages.items()},
        "too_old": max_age is not None and (last_age is None or last_age > max_age),
    }


def group_lines(document: Document) -> Iterator[Line]:
    """Return the text of a group's document."""
    yield "built", stage_text(document["built"])
    if document["built"]["day"] is not None:
        yield from _build_lines(document)
    yield "published", stage_text(document["published"])
    if waiting := document["waiting_days"]:
        yield (
            "waiting",
            f"{waiting:,} built {'day is' if waiting == 1 else 'days are'} not published",
        )
    if document["guard"]:
        lost = "; ".join(document["guard"])
        yield "guard", f"a publish would stop: it would remove at least {lost}"
    if "pushed" in document:
        yield "pushed", stage_text(document["pushed"])
    for command in document["run"]:
        yield "run", command


def stage_text(stage: Document) -> str:
    """Return one stage of a document as text."""
    if stage["problem"] is not None or stage["day"] is None:
        return stage["problem"] or "nothing yet"
    return f"{stage['day']} ({stage['age_hours']:.1f} h old)"


def gate_line(gate: Sequence[str], note: str = "") -> Line:
    """Return whether the gate is green, and why not."""
    return "gate", "\n".join([f"{'red' if gate else 'green'}{note}", *gate])


def without_fraction(moment: str) -> str:
    """Return a time of a document in whole seconds."""
    return re.sub(r"\.\d+Z$", "Z", moment)


def _build_lines(document: Document) -> Iterator[Line]:
    last, frozen = document["last_build"], document["frozen"]
    reasons = ", ".join(f"{_days(days)} {reason}" for reason, days in last["days"].items())
    yield "last build", f"{reasons}, at {without_fraction(last['built_at'])}"
    if frozen:
        ranges = [str(DayRange(*map(date.fromisoformat, (d["first"], d["last"])))) for d in frozen]
        named = ", ".join(ranges[:_NAMED_RANGES])
        more = " and more" if len(ranges) > _NAMED_RANGES else ""
        total = _days(sum(days["days"] for days in frozen))
        yield "frozen", f"{total}, {named}{more}: their events are no longer kept"
    yield gate_line(document["gate"])


def _days(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"


def _stage(stage: Stage, age: timedelta | None) -> Document:
    return {
        "day": None if stage.day is None else str(stage.day),
        "age_hours": None if age is None else round(age.total_seconds() / 3600, 2),
        "problem": stage.problem,
    }


def _pushed_day(group: FeatureGroup, online: redis.Redis) -> date | None:
    meta = read_meta(online, group.name)
    return meta.day if meta else None


def _last_build(days: Sequence[BuiltDay]) -> Document | None:
    if not days:
        return None
    return {
        "built_at": format_time(days[0].built_at),
        "days": dict(Counter(built.reason for built in days)),
    }


def _commands(builds: Builds) -> list[str]:
    """Return what to run: for finished days that are missing, and for days of older SQL."""
    if builds.problem is not None:
        return []
    if not builds.days:
        return ["dbt build"]
    older = day_ranges(built.day for built in builds.days if built.is_older_sql)
    return [
        *(f"{days.command}  # missing" for days in day_ranges(builds.missing)),
        *(f"{days.command}  # built by older SQL" for days in older),
    ]
