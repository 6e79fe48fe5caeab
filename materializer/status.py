"""
`materializer status`: how far each group has come on its way, how old it is, and what to run.

Owns the one view over all four stations: built, gated, published, pushed. Reads no feature rows and
changes nothing; it may start the embedded server, to ask it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from pyiceberg.catalog import Catalog

from materializer.build_status import BuildStatus, build_status
from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.errors import DONE, FAILED, FeatureStoreError
from materializer.offline.catalog import find_table, open_catalog, table_name
from materializer.offline.publish import LastPublish, last_published
from materializer.offline.removals import least_losses, published_rows
from materializer.online.connection import connect
from materializer.online.state import read_meta
from materializer.publish import unpublished
from materializer.registry import FeatureGroup, FeatureView, Registry, TrainingSet
from materializer.table_status import describe, say_gate
from materializer.warehouse.reader import open_warehouse
from materializer.warehouse.records import BuiltDay

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stage:
    """
    How far a group has come at one station.

    Attributes:
        name: `built`, `published` or `pushed`.
        day: Newest day there, None when there is none.
        available_at: When that day became available [aware, UTC].
        problem: Why it cannot be told, or None.
    """

    name: str
    day: date | None
    available_at: datetime | None
    problem: str | None = None

    def age(self, now: datetime) -> timedelta | None:
        """Tell how old the newest data are: the time since they became available."""
        return None if self.available_at is None else now - self.available_at

    def describe(self, now: datetime) -> str:
        """Say it in a few words."""
        age = self.age(now)
        if self.problem is not None or age is None:
            return self.problem or "nothing yet"
        return f"{self.day} ({age.total_seconds() / 3600:.1f} h old)"


@dataclass(frozen=True, slots=True)
class Publication:
    """
    What a publish would do now.

    Attributes:
        station: What is published.
        waiting: How many built days are not published yet.
        guard: What the removal guard would object to, by counts alone.
    """

    station: Stage
    waiting: int = 0
    guard: Sequence[str] = ()


def status(
    settings: Settings,
    registry: Registry,
    groups: Sequence[FeatureGroup],
    console: Console,
    *,
    wait: float,
    max_age: timedelta | None,
    training_sets: bool = True,
) -> int:
    """
    Say where every group, every training set and every feature view stands.

    Args:
        settings: Where the stores are.
        registry: The project.
        groups: Which groups.
        console: Told the result.
        wait: How long to wait for a build that holds the warehouse [s].
        max_age: Oldest that the last station of a group may be, or None.
        training_sets: Tell of those too.

    Returns:
        0, or 1 when a group is older than *max_age* or was never brought that far.
    """
    now = settings.now()
    documents = []
    too_old = False
    for group in groups:
        standing = _standing(settings, registry, group, wait, console)
        lag = timedelta(hours=group.availability_lag_hours)
        lag = lag if standing.lag is None else standing.lag
        publication = _publication(settings, group, standing, lag)
        stations = [_built(standing, lag), publication.station]
        if group.online:
            stations.append(_pushed(settings, group, lag))
        age = stations[-1].age(now)
        old = max_age is not None and (age is None or age > max_age)
        too_old = too_old or old
        _print(console, group, stations, standing, publication, now)
        if old and max_age is not None:
            console.error(
                f"{group.name}: {stations[-1].name} is older than "
                f"{max_age.total_seconds() / 3600:g} h: {stations[-1].describe(now)}"
            )
        documents.append(_document(group, stations, standing, publication, now, old))
    wholes: list[TrainingSet | FeatureView] = []
    if training_sets:
        wholes = [*registry.training_sets.values(), *registry.views.values()]
    sets = [describe(settings, registry, one, console, wait) for one in wholes]
    console.result({"now": format_time(now), "groups": documents, "training_sets": sets})
    return FAILED if too_old else DONE


def _standing(
    settings: Settings, registry: Registry, group: FeatureGroup, wait: float, console: Console
) -> BuildStatus:
    try:
        with open_warehouse(
            settings.warehouse, registry, wait=wait, on_wait=console.note
        ) as warehouse:
            return build_status(group, registry, warehouse)
    except FeatureStoreError as error:
        return BuildStatus(problem=str(error))


def _built(standing: BuildStatus, lag: timedelta) -> Stage:
    if standing.problem is not None:
        return Stage("built", None, None, standing.problem)
    return _station("built", standing.days[-1].day if standing.days else None, lag)


def _publication(
    settings: Settings, group: FeatureGroup, standing: BuildStatus, lag: timedelta
) -> Publication:
    try:
        catalog = open_catalog(settings)
        last = last_published(catalog, group.name)
        waiting = unpublished(standing.days, last, standing.warehouse_id)
        guard = _guard(catalog, group, last, standing, waiting)
    except FeatureStoreError as error:
        return Publication(Stage("published", None, None, str(error)))
    if last is not None and not last.visible:
        problem = "a publish did not end; run: materializer publish"
        return Publication(Stage("published", None, None, problem), len(waiting), guard)
    station = _station("published", last.newest_day if last else None, lag)
    return Publication(station, len(waiting), guard)


def _guard(
    catalog: Catalog,
    group: FeatureGroup,
    last: LastPublish | None,
    standing: BuildStatus,
    waiting: Sequence[BuiltDay],
) -> list[str]:
    """Foresee what a publish would remove, from the counts of the ledger and of the files."""
    table = find_table(catalog, table_name(group.name))
    if last is None or table is None or not waiting:
        return []
    published = published_rows(table)
    new = {built.day: built.rows for built in waiting}
    if last.warehouse_id != standing.warehouse_id:
        # Another warehouse replaces everything.
        new = {**dict.fromkeys(published, 0), **new}
    return least_losses(published, new)


def _pushed(settings: Settings, group: FeatureGroup, lag: timedelta) -> Stage:
    try:
        meta = read_meta(connect(settings), group.name)
    except FeatureStoreError as error:
        return Stage("pushed", None, None, str(error))
    return _station("pushed", meta.day if meta else None, lag)


def _station(name: str, day: date | None, lag: timedelta) -> Stage:
    if day is None:
        return Stage(name, None, None)
    return Stage(name, day, datetime.combine(day, time(), timezone.utc) + _DAY + lag)


def _print(
    console: Console,
    group: FeatureGroup,
    stations: Sequence[Stage],
    standing: BuildStatus,
    publication: Publication,
    now: datetime,
) -> None:
    def say(name: str, text: str) -> None:
        console.print(f"  {name:<10} {text}")

    console.print(group.name)
    for station in stations:
        say(station.name, station.describe(now))
        if station.name == "built" and station.day is not None:
            for name, text in standing.lines():
                say(name, text)
            say_gate(console, standing.gate)
        if station.name == "published" and publication.waiting:
            days = "day is" if publication.waiting == 1 else "days are"
            say("waiting", f"{publication.waiting:,} built {days} not published")
        if station.name == "published" and publication.guard:
            lost = "; ".join(publication.guard)
            say("guard", f"a publish would stop: it would remove at least {lost}")
    for command in standing.commands(now):
        say("run", command)


def _document(
    group: FeatureGroup,
    stations: Sequence[Stage],
    standing: BuildStatus,
    publication: Publication,
    now: datetime,
    old: bool,
) -> dict[str, object]:
    document: dict[str, object] = {
        "group": group.name,
        **standing.document(),
        "waiting_days": publication.waiting,
        "guard": list(publication.guard),
        "run": standing.commands(now),
    }
    for station in stations:
        age = station.age(now)
        document[station.name] = {
            "day": None if station.day is None else str(station.day),
            "age_hours": None if age is None else round(age.total_seconds() / 3600, 2),
            "problem": station.problem,
        }
    document["too_old"] = old
    return document
