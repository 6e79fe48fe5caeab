"""
Which row of one entity answers a time: where to look, and when to stop.

Owns the decision, once, for one lookup and for many at a time: a search says which files it needs
to see, is sent the entity's rows in them, and ends in the row or in the reason there is none.
Refuses to read: whoever drives a search does that, and may read a file once for many of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import groupby
from typing import Any, TypeAlias

from pyiceberg.io import FileIO

from materializer.config import format_time
from materializer.errors import Expired, NotYetAvailable, UnknownEntity
from materializer.offline.activity import FIRST_DAY, LAST_DAY
from materializer.offline.rows import Part
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.registry import FeatureGroup

Row: TypeAlias = "dict[str, Any]"
# Yields paths, is sent the entity's rows in those files, returns the row that answers.
Search: TypeAlias = "Generator[Sequence[str], Sequence[Row], Row]"

_ONE_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Day:
    """One day's files, and the smallest and largest `available_at` in them where known [UTC]."""

    paths: tuple[str, ...]
    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class LookupState:
    """
    A published state of a group, indexed for lookups; never changes.

    Attributes:
        location: The spans' metadata file: another one means a newer state.
        group: The registry entry published with it.
        snapshot_id: The group's snapshot.
        io: Opens its files.
        spans: Files of the spans.
        days: Every day's files, in day order.
        order: The days alone.
        reach: For each day, the earliest `available_at` of it and every later one, ascending.
    """

    location: str
    group: FeatureGroup
    snapshot_id: int
    io: FileIO
    spans: tuple[str, ...]
    days: Mapping[date, Day]
    order: tuple[date, ...]
    reach: tuple[datetime, ...]

    def newest_day(self, as_of: datetime) -> date | None:
        """Return the newest day of which something was available, or None."""
        number = bisect_right(self.reach, as_of)
        return self.order[number - 1] if number else None


def load_state(snapshot: GroupSnapshot) -> LookupState:
    """
    Index a published state for lookups.

    Raises:
        OfflineStoreUnavailable: The manifests cannot be read.
    """
    files = {
        day: _day(list(of_day)) for day, of_day in groupby(snapshot.files, lambda file: file.day)
    }
    reach: list[datetime] = []
    for day in reversed(files.values()):
        reach.append(min(day.earliest, reach[-1]) if reach else day.earliest)
    return LookupState(
        location=snapshot.location,
        group=snapshot.group,
        snapshot_id=snapshot.snapshot_id,
        io=snapshot.table.io,
        spans=snapshot.span_files,
        days=files,
        order=tuple(files),
        reach=tuple(reversed(reach)),
    )


def _day(files: Sequence[SnapshotFile]) -> Day:
    # Without bounds the rows themselves must decide.
    return Day(
        paths=tuple(file.path for file in files),
        earliest=min(datetime.min if f.first is None else _time(f.first) for f in files),
        latest=max(datetime.max if f.last is None else _time(f.last) for f in files),
    )


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def typed_key(group: FeatureGroup, key: Sequence[str]) -> tuple[Part, ...] | None:
    """
    Read a key's texts as what the files hold.

    Args:
        group: The group.
        key: Values of the entity columns as text, in key order.

    Returns:
        The values in key order, or None when no row can have that key.
    """
    types = {column.name: column.type for column in group.columns}
    if len(key) != len(group.entity):
        return None
    try:
        return tuple(_part(types[name], text) for name, text in zip(group.entity, key, strict=True))
    except ValueError:
        return None


def search(state: LookupState, key: Sequence[str], as_of: datetime) -> Search:
    """
    Search the newest row of an entity that was available at a time.

    Args:
        state: The state to search.
        key: Values of the entity columns as text, in key order; one that `typed_key` can read.
        as_of: The time [aware].

    Yields:
        Files of one schema. The search is sent the entity's rows in them, in any order.

    Returns:
        Every column of the group by name, as Python values; times are aware, in UTC.

    Raises:
        UnknownEntity: The entity never had a row.
        NotYetAvailable: Its first row became available later.
        Expired: That row's `available_at` is `ttl_days` or more before *as_of*.
    """
    group = state.group
    moment = as_of.astimezone(timezone.utc).replace(tzinfo=None)
    spans = yield state.spans
    if not spans:
        raise UnknownEntity(group.name, key)
    for day in _days_down(spans, state.newest_day(moment)):
        files = state.days[day]
        if group.is_expired(files.latest, moment):
            raise Expired(group.name, key, format_time(as_of), group.ttl_days or 0)
        row = _newest((yield files.paths), group.available_at, moment)
        if row is None:
            continue
        if group.is_expired(row[group.available_at], moment):
            raise Expired(group.name, key, format_time(as_of), group.ttl_days or 0)
        return {name: _aware(value) for name, value in row.items()}
    raise NotYetAvailable(group.name, key, format_time(as_of))


def _part(type_: str, text: str) -> Part:
    if type_ == "string":
        # Raises on half a surrogate pair, which is a ValueError too.
        return text.encode()
    if type_ == "int64":
        number = int(text)
        if str(number) == text and number.bit_length() < 64:
            return number
    if type_ == "date" and date.fromisoformat(text).isoformat() == text:
        return date.fromisoformat(text)
    raise ValueError(text)


def _days_down(spans: Iterable[Mapping[str, date]], newest: date | None) -> Iterator[date]:
    # The first one is the answer, unless rows of one day become available at different times.
    for span in sorted(spans, key=lambda one: one[FIRST_DAY], reverse=True):
        day = span[LAST_DAY] if newest is None else min(span[LAST_DAY], newest)
        while newest is not None and day >= span[FIRST_DAY]:
            yield day
            day -= _ONE_DAY


def _newest(rows: Sequence[Row], column: str, moment: datetime) -> Row | None:
    usable = [row for row in rows if row[column] <= moment]
    return max(usable, key=lambda row: row[column], default=None)


def _aware(value: object) -> object:
    if isinstance(value, list):
        return [_aware(element) for element in value]
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value
