"""
`materializer status`: how far each group has come on its way, how old it is, and what to run.

Owns the one view over all four stations: built, gated, published, pushed. Reads only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

from materializer.config import Settings, format_time
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
        built, gate, commands = _built(settings, registry, group, now, wait, voice)
        stations = [built, _published(settings, group)]
        if group.online:
            stations.append(_pushed(settings, group))
        age = stations[-1].age(now)
        old = max_age is not None and (age is None or age > max_age)
        too_old = too_old or old
        _print(voice, group, stations, gate, commands, now, max_age if old else None)
        documents.append(_document(group, stations, gate, commands, now, old))
    voice.result({"now": format_time(now), "groups": documents})
    return FAILED if too_old else DONE


def _built(
    settings: Settings,
    registry: Registry,
    group: FeatureGroup,
    now: datetime,
    wait: float,
    voice: Voice,
) -> tuple[Station, list[str] | None, list[str]]:
    try:
        with open_warehouse(
            settings.warehouse, registry, wait=wait, on_wait=voice.note
        ) as warehouse:
            days = warehouse.built_days(group.unique_id)
            reasons = objections(
                group.unique_id, registry.gate, warehouse.verdicts(), warehouse.sequences()
            )
    except FeatureStoreError as error:
        return Station("built", None, None, str(error)), None, []
    return _station("built", group, days[-1].day if days else None), reasons, _commands(days, now)


def _published(settings: Settings, group: FeatureGroup) -> Station:
    try:
        last = last_published(open_catalog(settings), group.name)
    except FeatureStoreError as error:
        return Station("published", None, None, str(error))
    if last is not None and not last.visible:
        return Station("published", None, None, "a publish did not end; run: materializer publish")
    return _station("published", group, last.newest_day if last else None)


def _pushed(settings: Settings, group: FeatureGroup) -> Station:
    try:
        meta = read_meta(connect(settings), group.name)
    except FeatureStoreError as error:
        return Station("pushed", None, None, str(error))
    day = meta.day if meta else None
    return _station("pushed", group, date.fromisoformat(day) if day else None)


def _station(name: str, group: FeatureGroup, day: date | None) -> Station:
    if day is None:
        return Station(name, None, None)
    lag = timedelta(hours=group.availability_lag_hours)
    return Station(name, day, datetime.combine(day, time(), timezone.utc) + _DAY + lag)


def _commands(days: Sequence[BuiltDay], now: datetime) -> list[str]:
    """List what to run: for finished days that are missing, and for days of older SQL."""
    if not days:
        return ["dbt build"]
    last_finished = now.date() - _DAY
    built = {day.day for day in days}
    span = (last_finished - days[0].day).days + 1
    missing = [day for day in (days[0].day + n * _DAY for n in range(span)) if day not in built]
    newest = max(days, key=lambda day: day.sequence)
    older = [day.day for day in days if day.checksum != newest.checksum]
    return [
        *(_command(first, last, "missing") for first, last in _runs(missing)),
        *(_command(first, last, "built by older SQL") for first, last in _runs(older)),
    ]


def _command(first: date, last: date, why: str) -> str:
    return f"dbt build --vars '{{start_date: {first}, end_date: {last}}}'  # {why}"


def _runs(days: Sequence[date]) -> list[tuple[date, date]]:
    runs: list[tuple[date, date]] = []
    for day in days:
        if runs and runs[-1][1] + _DAY == day:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


def _print(
    voice: Voice,
    group: FeatureGroup,
    stations: Sequence[Station],
    gate: Sequence[str] | None,
    commands: Sequence[str],
    now: datetime,
    exceeded: timedelta | None,
) -> None:
    voice.say(group.name)
    for station in stations:
        voice.say(f"  {station.name:<10} {station.describe(now)}")
        if station.name == "built" and station.day is not None:
            voice.say(f"  {'gate':<10} {'red' if gate else 'green'}")
            for reason in gate or ():
                voice.say(f"    {reason}")
    for command in commands:
        voice.say(f"  run        {command}")
    if exceeded is not None:
        voice.error(
            f"{group.name}: {stations[-1].name} is older than "
            f"{exceeded.total_seconds() / 3600:g} h: {stations[-1].describe(now)}"
        )


def _document(
    group: FeatureGroup,
    stations: Sequence[Station],
    gate: Sequence[str] | None,
    commands: Sequence[str],
    now: datetime,
    old: bool,
) -> dict[str, object]:
    document: dict[str, object] = {
        "group": group.name,
        # Null, not empty, when nobody could ask.
        "gate": None if gate is None else list(gate),
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
