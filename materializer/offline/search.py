"""
Which row of an entity answers a lookup: where to look, and when to stop.

Responsible for the newest row that was known at a time: a search yields the files it needs, is sent
the entity's rows in them, and returns the row or raises why there is none. Does not read files: its
caller does, and may read a file once for many searches.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, groupby
from operator import attrgetter
from typing import Any, TypeAlias

from materializer.config import format_time
from materializer.errors import Expired, NotYetAvailable, UnknownEntity
from materializer.offline.catalog import FIRST_DAY, LAST_DAY
from materializer.offline.rows import Key, KeyPart
from materializer.offline.snapshot import GroupSnapshot
from materializer.registry import FeatureGroup

Row: TypeAlias = "dict[str, Any]"
# Yields paths, is sent the entity's rows in those files, returns the row that answers.
Search: TypeAlias = "Generator[Sequence[str], Sequence[Row], Row]"

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class IndexedDay:
    """
    One published day.

    Attributes:
        usable_from: The earliest `available_at` of this and every later day [UTC, naive];
            `datetime.min` when unknown.
        last_available: Its latest `available_at` [UTC, naive]; `datetime.max` when unknown.
        reach: The latest time by which its rows and those of every earlier day are ordered, the
            `event_time` if the group has one and else `available_at`, likewise.
        ends: From when on no row of this or an earlier day holds; `datetime.max` for never.
    """

    day: date
    paths: tuple[str, ...]
    usable_from: datetime
    last_available: datetime
    reach: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class LookupIndex:
    """
    A published state of a group, indexed for lookups; never changes.

    Attributes:
        spans: Files of its spans, listed once: a publish deletes the manifests of old ones.
    """

    snapshot: GroupSnapshot
    spans: tuple[str, ...]
    days: tuple[IndexedDay, ...]

    def newest_day(self, until: date = date.max) -> IndexedDay | None:
        """Return the newest day up to *until*, or None."""
        number = bisect_right(self.days, until, key=attrgetter("day"))
        return self.days[number - 1] if number else None

    def candidates(
        self, spans: Iterable[Mapping[str, date]], moment: datetime
    ) -> Iterator[IndexedDay]:
        """Yield the days of an entity's spans, newest first, that had a row available by then."""
        usable = bisect_right(self.days, moment, key=attrgetter("usable_from"))
        for span in sorted(spans, key=lambda span: span[FIRST_DAY], reverse=True):
            first = bisect_left(self.days, span[FIRST_DAY], key=attrgetter("day"))
            end = bisect_right(self.days, span[LAST_DAY], key=attrgetter("day"))
            for number in reversed(range(first, min(end, usable))):
                yield self.days[number]


def index_snapshot(snapshot: GroupSnapshot) -> LookupIndex:
    """Index a published state for lookups."""
    files_by_day = [(day, list(files)) for day, files in groupby(snapshot.files, attrgetter("day"))]
    usable_from = list(
        accumulate(
            (min(_time(f.first, datetime.min) for f in files) for _, files in files_by_day[::-1]),
            min,
        )
    )[::-1]
    days: list[IndexedDay] = []
    reach = ends = datetime.min
    for (day, files), first in zip(files_by_day, usable_from, strict=True):
        last = max(_time(file.last, datetime.max) for file in files)
        events = [_time(file.last_event, datetime.max) for file in files]
        reach = max(reach, last if snapshot.group.event_time is None else max(events))
        ends = max(ends, *(_time(snapshot.ends(file), datetime.max) for file in files))
        paths = tuple(file.path for file in files)
        days.append(IndexedDay(day, paths, first, last, reach, ends))
    return LookupIndex(snapshot, snapshot.span_files, tuple(days))


def _time(microseconds: int | None, unknown: datetime) -> datetime:
    try:
        return unknown if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return unknown


def typed_key(group: FeatureGroup, key: Sequence[str]) -> Key | None:
    """Return a key, given as text, in the types of the files; None when no row can have it."""
    try:
        return tuple(_part(column.type, text) for column, text in zip(group.keys, key, strict=True))
    except ValueError:
        return None


def _part(type_: str, text: str) -> KeyPart:
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


def search(index: LookupIndex, key: Sequence[str], as_of: datetime) -> Search:
    """
    Return the newest row that was known, with naive times, or raise why none can hold.

    Whether the row holds is not decided yet, unless none can.

    Yields:
        Files of one schema. The search is sent the entity's rows in them, in any order.
    """
    group = index.snapshot.group
    moment = as_of.astimezone(UTC).replace(tzinfo=None)
    spans = yield index.spans
    if not spans:
        raise UnknownEntity(group.name, key)
    column = group.available_at
    newest: Row | None = None
    for day in index.candidates(spans, moment):
        # Mostly after the first day: rows of an older one are seldom newer.
        if newest is not None and day.reach < _order(group, newest)[0]:
            break
        if newest is None and day.ends <= moment:
            raise Expired(group.name, key, format_time(as_of))
        for row in (yield day.paths):
            # Another engine may have written a row without its times.
            is_known = row[column] is not None and row[column] <= moment
            is_known = is_known and row[group.event_time or column] is not None
            if is_known and (newest is None or _order(group, row) > _order(group, newest)):
                newest = row
    if newest is None:
        raise NotYetAvailable(group.name, key, format_time(as_of))
    return newest


def _order(group: FeatureGroup, row: Row) -> tuple[datetime, datetime]:
    """Return by what the known rows of an entity are ordered, the newest last."""
    available_at: datetime = row[group.available_at]
    event = row[group.event_time or group.available_at]
    return event if isinstance(event, datetime) else datetime(*event.timetuple()[:3]), available_at
