"""
`materializer status`: how far each group has come on its way, how old it is, and what to run.

Owns the one view over all four stations: built, gated, published, pushed. Changes no data; it may
start the embedded server, to ask it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from materializer.commands.publish import unpublished
from materializer.config import Settings, format_time
from materializer.days import runs
from materializer.errors import DONE, FAILED, FeatureStoreError
from materializer.gate import objections
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import last_published
from materializer.online.connection import connect
from materializer.online.meta import read_meta
from materializer.progress import Voice
from materializer.registry import FeatureGroup, Registry
from materializer.warehouse import BuiltDay, open_warehouse

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Station:
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
class Build:
    """
    What the warehouse says of a group.

    Attributes:
        days: Its built days.
        gate: Why it may not be published, empty when it may; None when nobody could ask.
        warehouse_id: Which warehouse says so.
        first_event: Day of the first event that any build saw.
        lag: Under which its rows were stamped.
        problem: Why the warehouse could not be asked, or None.
    """

    days: Sequence[BuiltDay] = ()
    gate: Sequence[str] | None = None
    warehouse_id: str = ""
    first_event: date | None = None
    lag: timedelta | None = None
    problem: str | None = None


def status(
    settings: Settings,
    registry: Registry,
    groups: Sequence[FeatureGroup],
    voice: Voice,
    *,
    wait: float,
    max_age: timedelta | None,
) -> int:
    """
    Say where every group stands.

    Args:
        settings: Where the stores are.
        registry: The project.
        groups: Which groups.
        voice: Told the result.
        wait: How long to wait for a build that holds the warehouse [s].
        max_age: Oldest that the last station of a group may be, or None.

    Returns:
        0, or 1 when a group is older than *max_age* or was never brought that far.
    """
    now = settings.now()
    documents = []
    too_old = False
    for group in groups:
        build = _ask_warehouse(settings, registry, group, wait, voice)
        lag = timedelta(hours=group.availability_lag_hours) if build.lag is None else build.lag
        published, waiting = _published(settings, group, build, lag)
        stations = [_built(build, lag), published]
        if group.online:
            stations.append(_pushed(settings, group, lag))
        age = stations[-1].age(now)
        old = max_age is not None and (age is None or age > max_age)
        too_old = too_old or old
        commands = [] if build.problem else _commands(build, now)
        _print(voice, group, stations, build.gate, waiting, commands, now)
        if old and max_age is not None:
            voice.error(
                f"{group.name}: {stations[-1].name} is older than "
                f"{max_age.total_seconds() / 3600:g} h: {stations[-1].describe(now)}"
            )
        documents.append(_document(group, stations, build.gate, waiting, commands, now, old))
    voice.result({"now": format_time(now), "groups": documents})
    return FAILED if too_old else DONE


def _ask_warehouse(
    settings: Settings, registry: Registry, group: FeatureGroup, wait: float, voice: Voice
) -> Build:
    model = group.unique_id
    try:
        with open_warehouse(
            settings.warehouse, registry, wait=wait, on_wait=voice.note
        ) as warehouse:
            hours = warehouse.lag_hours(model)
            return Build(
                days=warehouse.built_days(model),
                gate=objections(model, registry.gate, warehouse.verdicts(), warehouse.sequences()),
                warehouse_id=warehouse.warehouse_id(),
                first_event=warehouse.first_event_day(model),
                lag=None if hours is None else timedelta(hours=hours),
            )
    except FeatureStoreError as error:
        return Build(problem=str(error))


def _built(build: Build, lag: timedelta) -> Station:
    if build.problem is not None:
        return Station("built", None, None, build.problem)
    return _station("built", build.days[-1].day if build.days else None, lag)


def _published(
    settings: Settings, group: FeatureGroup, build: Build, lag: timedelta
) -> tuple[Station, int]:
    """Tell the newest published day, and how many built days are not published yet."""
    try:
        last = last_published(open_catalog(settings), group.name)
    except FeatureStoreError as error:
        return Station("published", None, None, str(error)), 0
    waiting = len(unpublished(build.days, last, build.warehouse_id))
    if last is not None and not last.visible:
        problem = "a publish did not end; run: materializer publish"
        return Station("published", None, None, problem), waiting
    return _station("published", last.newest_day if last else None, lag), waiting


def _pushed(settings: Settings, group: FeatureGroup, lag: timedelta) -> Station:
    try:
        meta = read_meta(connect(settings), group.name)
    except FeatureStoreError as error:
        return Station("pushed", None, None, str(error))
    day = meta.day if meta else None
    return _station("pushed", date.fromisoformat(day) if day else None, lag)


def _station(name: str, day: date | None, lag: timedelta) -> Station:
    if day is None:
        return Station(name, None, None)
    return Station(name, day, datetime.combine(day, time(), timezone.utc) + _DAY + lag)


def _commands(build: Build, now: datetime) -> list[str]:
    """List what to run: for finished days that are missing, and for days of older SQL."""
    if not build.days:
        return ["dbt build"]
    first = min(build.days[0].day, build.first_event or build.days[0].day)
    built = {day.day for day in build.days}
    span = (now.date() - first).days
    missing = [day for day in (first + n * _DAY for n in range(span)) if day not in built]
    newest = max(build.days, key=lambda day: day.sequence)
    older = [day.day for day in build.days if day.checksum != newest.checksum]
    return [
        *(f"{run.command}  # missing" for run in runs(missing)),
        *(f"{run.command}  # built by older SQL" for run in runs(older)),
    ]


def _print(
    voice: Voice,
    group: FeatureGroup,
    stations: Sequence[Station],
    gate: Sequence[str] | None,
    waiting: int,
    commands: Sequence[str],
    now: datetime,
) -> None:
    voice.say(group.name)
    for station in stations:
        voice.say(f"  {station.name:<10} {station.describe(now)}")
        if station.name == "built" and station.day is not None:
            voice.say(f"  {'gate':<10} {'red' if gate else 'green'}")
            for reason in gate or ():
                voice.say(f"    {reason}")
        if station.name == "published" and waiting:
            days = "day is" if waiting == 1 else "days are"
            voice.say(f"  {'waiting':<10} {waiting:,} built {days} not published")
    for command in commands:
        voice.say(f"  {'run':<10} {command}")


def _document(
    group: FeatureGroup,
    stations: Sequence[Station],
    gate: Sequence[str] | None,
    waiting: int,
    commands: Sequence[str],
    now: datetime,
    old: bool,
) -> dict[str, object]:
    document: dict[str, object] = {
        "group": group.name,
        # Null, not empty, when nobody could ask.
        "gate": None if gate is None else list(gate),
        "waiting_days": waiting,
        "run": list(commands),
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
