"""
Which row of an entity answers a lookup: where to look, and when to stop.

Responsible for the decision, for one lookup and for many at a time: a search yields the files it
needs, is sent the entity's rows in them, and ends in the row or in the reason there is none. Does
not read: the caller of a search does, and may read a file once for many searches.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, TypeAlias

from materializer.config import format_time
from materializer.errors import Expired, NotYetAvailable, UnknownEntity
from materializer.offline.catalog import FIRST_DAY, LAST_DAY
from materializer.offline.rows import KeyPart
from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.registry import FeatureGroup

Row: TypeAlias = "dict[str, Any]"
# Yields paths, is sent the entity's rows in those files, returns the row that answers.
Search: TypeAlias = "Generator[Sequence[str], Sequence[Row], Row]"

_ONE_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class IndexedDay:
    """
    One published day.

    Attributes:
        day: The day.
        paths: Its files.
        usable_from: The earliest `available_at` of this and every later day [UTC, naive].
        last_available: Its latest `available_at` [UTC, naive].

    Where the files give no bounds, the times are the earliest and the latest there are: then the
    rows themselves decide.
    """

    day: date
    paths: tuple[str, ...]
    usable_from: datetime
    last_available: datetime


@dataclass(frozen=True, slots=True)
class LookupIndex:
    """
    A published state of a group, indexed for lookups; never changes.

    Attributes:
        snapshot: The state.
        spans: Files of its spans.
        days: Its days, in order.
    """

    snapshot: GroupSnapshot
    spans: tuple[str, ...]
    days: tuple[IndexedDay, ...]

    def usable_until(self, as_of: datetime) -> date | None:
        """Return the newest day of which a row was available at a time [UTC, naive], or None."""
        number = bisect_right(self.days, as_of, key=lambda day: day.usable_from)
        return self.days[number - 1].day if number else None

    def newest_day(self, until: date | None = None) -> IndexedDay | None:
        """Return the newest day, or the newest up to *until*; None when there is none."""
        number = len(self.days)
        if until is not None:
            number = bisect_right(self.days, until, key=lambda day: day.day)
        return self.days[number - 1] if number else None

    def at(self, day: date) -> IndexedDay:
        """Return a published day."""
        return self.days[bisect_left(self.days, day, key=lambda indexed: indexed.day)]


def index_snapshot(snapshot: GroupSnapshot) -> LookupIndex:
    """
    Index a published state for lookups.

    Raises:
        OfflineStoreUnavailable: The manifests cannot be read.
    """
    files = [(day, list(some)) for day, some in groupby(snapshot.files, lambda file: file.day)]
    days: list[IndexedDay] = []
    usable_from = datetime.max
    for day, of_day in reversed(files):
        usable_from = min(usable_from, *(_first_available(file) for file in of_day))
        days.append(
            IndexedDay(
                day=day,
                paths=tuple(file.path for file in of_day),
                usable_from=usable_from,
                last_available=max(_last_available(file) for file in of_day),
            )
        )
    return LookupIndex(snapshot, snapshot.span_files, tuple(reversed(days)))


def _first_available(file: SnapshotFile) -> datetime:
    return datetime.min if file.first is None else _EPOCH + timedelta(microseconds=file.first)


def _last_available(file: SnapshotFile) -> datetime:
    return datetime.max if file.last is None else _EPOCH + timedelta(microseconds=file.last)


def typed_key(group: FeatureGroup, key: Sequence[str]) -> tuple[KeyPart, ...] | None:
    """
    Read the text of a key as what the files hold.

    Args:
        group: The group.
        key: Values of the entity columns as text, in key order.

    Returns:
        The values in key order, or None when no row can have that key.
    """
    if len(key) != len(group.keys):
        return None
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
    Search the newest row of an entity that was available at a time.

    Args:
        index: The state to search.
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
    group = index.snapshot.group
    moment = as_of.astimezone(UTC).replace(tzinfo=None)
    spans = yield index.spans
    if not spans:
        raise UnknownEntity(group.name, key)
    for day in _days_down(spans, index.usable_until(moment)):
        files = index.at(day)
        _check_ttl(group, key, files.last_available, moment)
        row = _newest_row((yield files.paths), group.available_at, moment)
        if row is not None:
            _check_ttl(group, key, row[group.available_at], moment)
            return {name: _aware(value) for name, value in row.items()}
    raise NotYetAvailable(group.name, key, format_time(as_of))


def _days_down(spans: Iterable[Mapping[str, date]], newest: date | None) -> Iterator[date]:
    # The first one is the answer, unless rows of one day become available at different times.
    for span in sorted(spans, key=lambda span: span[FIRST_DAY], reverse=True):
        day = span[LAST_DAY] if newest is None else min(span[LAST_DAY], newest)
        while newest is not None and day >= span[FIRST_DAY]:
            yield day
            day -= _ONE_DAY


def _newest_row(rows: Sequence[Row], column: str, moment: datetime) -> Row | None:
    usable = [row for row in rows if row[column] <= moment]
    return max(usable, key=lambda row: row[column], default=None)


def _check_ttl(
    group: FeatureGroup, key: Sequence[str], available_at: datetime, moment: datetime
) -> None:
    if group.is_expired(available_at, moment):
        at = format_time(moment.replace(tzinfo=UTC))
        raise Expired(group.name, key, at, group.ttl_days or 0)


def _aware(value: object) -> object:
    if isinstance(value, list):
        return [_aware(element) for element in value]
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
