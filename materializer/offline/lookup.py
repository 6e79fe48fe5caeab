"""
Lookups: the newest row of an entity that was available at a time.

Responsible for noticing new commits, and for answers from one consistent state, also during a
publish. Does not decide which row answers, see `search`, or whether it holds, see `holding`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import inf
from typing import Any, TypeAlias

import pyarrow as pa
from pyiceberg.catalog import Catalog

from materializer.config import format_time
from materializer.errors import (
    LookupMiss,
    NotPublished,
    OfflineStoreUnavailable,
    OtherDefinition,
    UnknownEntity,
    explain,
)
from materializer.offline.catalog import (
    metadata_location,
    published_groups,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.holding import why_none_holds
from materializer.offline.rows import FOOTER_BYTES, Key, RowFinder
from materializer.offline.search import LookupIndex, Row, Search, index_snapshot, search, typed_key
from materializer.offline.snapshot import open_snapshot
from materializer.registry import FeatureGroup

# A key as text, in key order, and a time [aware].
LookupRequest: TypeAlias = "tuple[Sequence[str], datetime]"


@dataclass(frozen=True, slots=True)
class State:
    """
    The published state that answers lookups.

    Attributes:
        day: The newest day up to the one requested; None when there is none.
        available_at: From when the newest row of that day is available [UTC, naive]; None when
            unknown.
    """

    snapshot_id: int
    day: date | None
    available_at: datetime | None


class OfflineReader:
    """
    Answers lookups. Safe for threads; one reader serves a whole process.

    Memory is bounded: file lists of the current state, and footers up to *footer_bytes*. The
    catalog is read again when a state is older than *refresh_seconds*.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        refresh_seconds: float = 1.0,
        footer_bytes: int = FOOTER_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalog = catalog
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._finder = RowFinder(footer_bytes=footer_bytes)
        self._indexes: dict[str, LookupIndex] = {}
        self._due: dict[str, float] = {}
        self._names: tuple[str, ...] = ()
        self._names_due = -inf
        self._lock = threading.Lock()

    def groups(self) -> Mapping[str, FeatureGroup]:
        """Return the registry as it was published, by group name."""
        if self._clock() >= self._names_due:
            self._names = published_groups(self.catalog)
            self._names_due = self._clock() + self._refresh_seconds
        groups = {}
        for name in self._names:
            # A first publish that was killed leaves a name without a state.
            with suppress(NotPublished):
                groups[name] = self._index(name).snapshot.group
        return groups

    def state(self, group: str, until: date = date.max) -> State:
        """Return the state of a group that answers lookups, and its newest day up to *until*."""
        index = self._index(group)
        newest = index.newest_day(until)
        if newest is None:
            return State(index.snapshot.snapshot_id, None, None)
        latest = None if newest.last_available == datetime.max else newest.last_available
        return State(index.snapshot.snapshot_id, newest.day, latest)

    def lookup(self, group: str, key: Sequence[str], as_of: datetime) -> Row:
        """
        Find the newest row of an entity that was available at a time.

        Args:
            group: Group name.
            key: As text, in key order.
            as_of: The time [aware].

        Returns:
            Every column of the group by name, as Python values; times are aware, in UTC.

        Raises:
            UnknownEntity: The entity never had a row.
            NotYetAvailable: Its first row became available later.
            Expired: That row does not hold any more, see `materializer.registry.validity`.
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `open_snapshot`.
        """
        [answer] = self.lookup_many(group, [(key, as_of)])
        if isinstance(answer, LookupMiss):
            raise answer
        return answer

    def lookup_many(
        self, group: str, requests: Sequence[LookupRequest], *, definition: str | None = None
    ) -> list[Row | LookupMiss]:
        """
        Return the answers of many lookups: for each the row, or the miss that `lookup` raises.

        All are answered from one state. A file is read once for all the rows it holds, so this
        costs far less than as many lookups. Memory is that of the answers and of one row group.

        Raises:
            OtherDefinition: The group has another definition than *definition*, if that is given.
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `open_snapshot`.
        """
        try:
            return self._find(self._index(group), requests, definition)
        except FileNotFoundError:
            # Old spans are deleted once there are newer ones.
            with translate_errors(table_name(group)):
                return self._find(self._index(group, refresh=True), requests, definition)
        except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
            # The last three: a file that is damaged, or a value that Python cannot hold.
            raise OfflineStoreUnavailable(table_name(group), explain(error)) from error

    def _find(
        self, index: LookupIndex, requests: Sequence[LookupRequest], definition: str | None
    ) -> list[Row | LookupMiss]:
        snapshot, group = index.snapshot, index.snapshot.group
        if definition not in (None, group.definition):
            raise OtherDefinition(group.name)
        # A key that cannot be of the group's types keeps this answer.
        answers: list[Row | LookupMiss] = [UnknownEntity(group.name, key) for key, _ in requests]
        keys: dict[int, Key] = {}
        searches: dict[int, Search] = {}
        for number, (key, as_of) in enumerate(requests):
            if (parts := typed_key(group, key)) is not None:
                keys[number] = parts
                searches[number] = search(index, tuple(key), as_of)
                next(searches[number])
        found: dict[int, Row] = {}
        # Files -> the searches that need them next; all need the spans first.
        waiting = {index.spans: list(searches)} if searches else {}
        while waiting:
            paths, numbers = waiting.popitem()
            requested = {keys[number] for number in numbers}
            rows = self._finder.find(snapshot.table.io, paths, group.entity, requested)
            for number in numbers:
                try:
                    more = tuple(searches[number].send(rows.get(keys[number], [])))
                except StopIteration as end:
                    answers[number] = found[number] = end.value
                except LookupMiss as miss:
                    answers[number] = miss
                else:
                    waiting.setdefault(more, []).append(number)
        times = {number: requests[number][1] for number in found}
        for number, miss_type in why_none_holds(snapshot, found, times).items():
            key, as_of = requests[number]
            answers[number] = miss_type(group.name, key, format_time(as_of))
        return [_aware(answer) if isinstance(answer, dict) else answer for answer in answers]

    def _index(self, name: str, *, refresh: bool = False) -> LookupIndex:
        index = self._indexes.get(name)
        if index is not None and not refresh and self._clock() < self._due[name]:
            return index
        # One thread looks for a new state; the others go on with the one they have.
        if not self._lock.acquire(blocking=index is None or refresh) and index is not None:
            return index
        try:
            return self._renew(name)
        finally:
            self._lock.release()

    def _renew(self, name: str) -> LookupIndex:
        index = self._indexes.get(name)
        location = metadata_location(self.catalog, spans_name(name))
        # Another metadata file of the spans means a newer state.
        if index is None or index.snapshot.spans.metadata_location != location:
            self._indexes.pop(name, None)
            index = index_snapshot(open_snapshot(self.catalog, name))
        self._due[name] = self._clock() + self._refresh_seconds
        self._indexes[name] = index
        return index


def _aware(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _aware(element) for name, element in value.items()}
    if isinstance(value, list):
        return [_aware(element) for element in value]
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
