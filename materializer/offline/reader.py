"""
Lookups: the newest row of one entity that was available at a time.

Owns what a server needs of the offline store: it notices new commits by itself, and answers from
one consistent state whatever a publish is doing. Refuses to guess: spans tell which day's file
holds the row, and the row's own time decides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from math import inf

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog

from materializer.config import format_time
from materializer.errors import (
    Expired,
    NotPublished,
    NotYetAvailable,
    OfflineStoreUnavailable,
    UnknownEntity,
    UnknownGroup,
)
from materializer.offline.catalog import (
    REGISTRY,
    find_table,
    metadata_location,
    published_groups,
    reaching,
    spans_name,
    table_name,
)
from materializer.offline.rows import Part, RowFinder
from materializer.offline.spans import FIRST_DAY, LAST_DAY
from materializer.offline.view import View, load_view
from materializer.registry import FeatureGroup

_EPOCH = datetime(1970, 1, 1)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class State:
    """
    How far one published state reaches.

    Attributes:
        snapshot_id: The group's snapshot.
        day: Its newest day, None when it holds no row.
        available_at: Since when the newest row of that day may be used [UTC, naive]; None when the
            files do not say.
    """

    snapshot_id: int
    day: date | None
    available_at: datetime | None


class OfflineReader:
    """
    Answers lookups. Safe for threads; one reader serves a whole process.

    Memory is bounded: file lists of the current state, and footers up to a limit.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        refresh_seconds: float = 1.0,
        footer_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Start without reading anything.

        Args:
            catalog: From `catalog.open_catalog`.
            refresh_seconds: How old a state may be before the catalog is asked again [s].
            footer_bytes: Bound of the Parquet footers kept in memory [bytes].
            clock: Tells the seconds that have passed.
        """
        self._catalog = catalog
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._finder = RowFinder() if footer_bytes is None else RowFinder(footer_bytes=footer_bytes)
        self._views: dict[str, View] = {}
        self._due: dict[str, float] = {}
        self._names: tuple[str, ...] = ()
        self._names_due = -inf
        self._lock = threading.Lock()

    def groups(self) -> Mapping[str, FeatureGroup]:
        """
        Tell the registry as it was published, by group name.

        Raises:
            OfflineStoreUnavailable: The store cannot be read.
        """
        if self._clock() >= self._names_due:
            self._names = published_groups(self._catalog)
            self._names_due = self._clock() + self._refresh_seconds
        groups = {}
        for name in self._names:
            # A first publish that was killed leaves names without a state.
            with suppress(NotPublished):
                groups[name] = self._view(name).group
        return groups

    def state(self, group: str) -> State:
        """
        Tell which state of a group lookups answer from, and how far it reaches.

        Raises:
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `lookup`.
        """
        view = self._view(group)
        day = view.order[-1] if view.order else None
        latest = None if day is None else view.days[day].latest
        return State(view.snapshot_id, day, None if latest == datetime.max else latest)

    def snapshot_id(self, group: str) -> int:
        """
        Tell which snapshot of a group lookups answer from.

        Raises:
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `lookup`.
        """
        return self._view(group).snapshot_id

    def lookup(self, group: str, key: Sequence[str], as_of: datetime) -> dict[str, object]:
        """
        Find the newest row of an entity that was available at a time.

        Args:
            group: Group name.
            key: Values of the entity columns as text, in key order.
            as_of: The time [aware].

        Returns:
            Every column of the group by name, as Python values; times are aware, in UTC.

        Raises:
            UnknownEntity: The entity never had a row.
            NotYetAvailable: Its first row became available later.
            Expired: That row's `available_at` is `ttl_days` or more before *as_of*.
            UnknownGroup: The store has other groups.
            NotPublished: The store has no group yet, or not the whole of this one.
            OfflineStoreUnavailable: The store cannot be read.
        """
        view = self._view(group)
        try:
            return self._lookup(view, tuple(key), as_of)
        except FileNotFoundError:
            # Old spans are deleted; a state that old has been replaced since.
            with reaching(table_name(group)):
                return self._lookup(self._view(group, anew=True), tuple(key), as_of)
        except (OSError, pa.ArrowException) as error:
            raise OfflineStoreUnavailable(table_name(group), str(error)) from error

    def _lookup(self, view: View, key: tuple[str, ...], as_of: datetime) -> dict[str, object]:
        group = view.group
        moment = as_of.astimezone(timezone.utc).replace(tzinfo=None)
        parts = _typed(group, key)
        spans = None if parts is None else self._find(view, view.spans, parts)
        if parts is None or spans is None:
            raise UnknownEntity(group.name, key)
        for day in _days_down(spans, view.newest_day(moment)):
            files = view.days[day]
            if _is_over(group, files.latest, moment):
                raise Expired(group.name, key, format_time(as_of), group.ttl_days or 0)
            row = _newest(self._find(view, files.paths, parts), group.available_at, moment)
            if row is None:
                continue
            if _is_over(group, row[group.available_at], moment):
                raise Expired(group.name, key, format_time(as_of), group.ttl_days or 0)
            return {name: _aware(value) for name, value in row.items()}
        raise NotYetAvailable(group.name, key, format_time(as_of))

    def _find(self, view: View, paths: Sequence[str], parts: Sequence[Part]) -> pa.Table | None:
        return self._finder.find(view.io, paths, view.group.entity, parts)

    def _view(self, name: str, *, anew: bool = False) -> View:
        view = self._views.get(name)
        if view is not None and not anew and self._clock() < self._due[name]:
            return view
        # One thread looks for a new state; the others go on with the one they have.
        if not self._lock.acquire(blocking=view is None or anew) and view is not None:
            return view
        try:
            return self._renew(name)
        finally:
            self._lock.release()

    def _renew(self, name: str) -> View:
        view = self._views.get(name)
        location = metadata_location(self._catalog, spans_name(name))
        if view is None or view.location != location:
            view = None if location is None else load_view(self._catalog, name)
        if view is None:
            self._views.pop(name, None)
            raise _missing(self._catalog, name)
        self._due[name] = self._clock() + self._refresh_seconds
        self._views[name] = view
        return view


def _missing(catalog: Catalog, name: str) -> UnknownGroup | NotPublished:
    known = published_groups(catalog)
    table = find_table(catalog, table_name(name))
    begun = table is not None and REGISTRY in table.properties
    return NotPublished(name) if begun or not known else UnknownGroup(name, known)


def _typed(group: FeatureGroup, key: Sequence[str]) -> tuple[Part, ...] | None:
    # None: no row can have that key.
    types = {column.name: column.type for column in group.columns}
    if len(key) != len(group.entity):
        return None
    try:
        return tuple(_part(types[name], text) for name, text in zip(group.entity, key, strict=True))
    except ValueError:
        return None


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


def _days_down(spans: pa.Table, newest: date | None) -> Iterator[date]:
    # The first one is the answer, unless rows of one day become available at different times.
    first = spans.column(FIRST_DAY).to_pylist()
    last = spans.column(LAST_DAY).to_pylist()
    for since, until in sorted(zip(first, last, strict=True), reverse=True):
        day = until if newest is None else min(until, newest)
        while newest is not None and day >= since:
            yield day
            day -= _ONE_DAY


def _newest(rows: pa.Table | None, column: str, moment: datetime) -> dict[str, object] | None:
    if rows is None:
        return None
    times = rows.column(column)
    usable = rows.filter(pc.less_equal(times, pa.scalar(moment, times.type)))
    newest = usable.sort_by([(column, "descending")]).slice(0, 1).to_pylist()
    row: dict[str, object] | None = newest[0] if newest else None
    return row


def _is_over(group: FeatureGroup, available_at: object, moment: datetime) -> bool:
    if group.ttl_days is None:
        return False
    assert isinstance(available_at, datetime)
    return moment - available_at >= timedelta(days=group.ttl_days)


def _aware(value: object) -> object:
    return value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) else value
