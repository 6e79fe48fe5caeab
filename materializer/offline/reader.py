"""
Lookups: the newest row of one entity that was available at a time.

Owns what a server needs of the offline store: it notices new commits by itself, and answers from
one consistent state whatever a publish is doing. Refuses to guess: spans tell which day's file
holds the row, and the row's own time decides; see `search`.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from math import inf
from typing import TypeAlias, TypeVar

import pyarrow as pa
from pyiceberg.catalog import Catalog

from materializer.errors import (
    LookupMiss,
    NotPublished,
    OfflineStoreUnavailable,
    UnknownEntity,
)
from materializer.offline.catalog import (
    metadata_location,
    published_groups,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.rows import RowFinder
from materializer.offline.search import LookupState, Row, load_state, search, typed_key
from materializer.offline.snapshot import open_snapshot
from materializer.registry import FeatureGroup
from materializer.views.versions import VERSIONS, PublishedVersion, versions

T = TypeVar("T")

# A key, its values as text in key order, and a time [aware].
Asked: TypeAlias = "tuple[Sequence[str], datetime]"


@dataclass(frozen=True, slots=True)
class State:
    """
    How far one published state reaches.

    Attributes:
        snapshot_id: The group's snapshot.
        day: Its newest day, or the newest up to the day asked for; None when there is none.
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
        self._states: dict[str, LookupState] = {}
        self._due: dict[str, float] = {}
        self._names: tuple[str, ...] = ()
        self._names_due = -inf
        self._versions: list[PublishedVersion] = []
        self._versions_at: str | None = None
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
                groups[name] = self._state(name).group
        return groups

    def view_versions(self) -> list[PublishedVersion]:
        """
        Tell every published version of every feature view, see `versions`.

        Raises:
            OfflineStoreUnavailable: The store cannot be read.
        """
        location = metadata_location(self._catalog, table_name(VERSIONS))
        if location != self._versions_at:
            self._versions, self._versions_at = versions(self._catalog), location
        return self._versions

    def state(self, group: str, until: date | None = None) -> State:
        """
        Tell which state of a group lookups answer from, and how far it reaches.

        Args:
            group: Group name.
            until: Tell of the newest day up to this one; None: of the newest.

        Raises:
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `lookup`.
        """
        state = self._state(group)
        reached = len(state.order) if until is None else bisect_right(state.order, until)
        day = state.order[reached - 1] if reached else None
        latest = None if day is None else state.days[day].latest
        return State(state.snapshot_id, day, None if latest == datetime.max else latest)

    def snapshot_id(self, group: str) -> int:
        """
        Tell which snapshot of a group lookups answer from.

        Raises:
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `lookup`.
        """
        return self._state(group).snapshot_id

    def lookup(self, group: str, key: Sequence[str], as_of: datetime) -> Row:
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
        key = tuple(key)
        return self._answered(group, lambda state: self._lookup(state, key, as_of))

    def lookup_many(self, group: str, asked: Sequence[Asked]) -> list[Row | LookupMiss]:
        """
        Find, for each of n questions, what `lookup` finds.

        All are answered from one state. A file is read once for all the rows it holds, so that many
        questions cost far less than as many lookups; rows of one entity may be asked for many
        times. Memory is that of the answers and of one row group.

        Args:
            group: Group name.
            asked: n pairs of a key, its values as text in key order, and a time [aware].

        Returns:
            n rows as `lookup` gives them, or what it would have raised, in the order asked.

        Raises:
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `lookup`.
        """
        return self._answered(group, lambda state: self._lookup_many(state, asked))

    def _answered(self, group: str, question: Callable[[LookupState], T]) -> T:
        state = self._state(group)
        try:
            return question(state)
        except FileNotFoundError:
            # Old spans are deleted; a state that old has been replaced since.
            with translate_errors(table_name(group)):
                return question(self._state(group, anew=True))
        except (OSError, pa.ArrowException) as error:
            raise OfflineStoreUnavailable(table_name(group), str(error)) from error

    def _lookup(self, state: LookupState, key: tuple[str, ...], as_of: datetime) -> Row:
        parts = typed_key(state.group, key)
        if parts is None:
            raise UnknownEntity(state.group.name, key)
        searching = search(state, key, as_of)
        paths = next(searching)
        while True:
            found = self._finder.find(state.io, paths, state.group.entity, parts)
            try:
                paths = searching.send([] if found is None else found.to_pylist())
            except StopIteration as end:
                row: Row = end.value
                return row

    def _lookup_many(self, state: LookupState, asked: Sequence[Asked]) -> list[Row | LookupMiss]:
        group = state.group
        keys = [typed_key(group, key) for key, _ in asked]
        # What the searches whose key can be read come to, in the end.
        answers: list[Row | LookupMiss] = [UnknownEntity(group.name, key) for key, _ in asked]
        searches = {
            number: search(state, tuple(asked[number][0]), asked[number][1])
            for number, key in enumerate(keys)
            if key is not None
        }
        waiting = {tuple(state.spans): list(searches)} if searches else {}
        for searching in searches.values():
            next(searching)
        while waiting:
            paths, numbers = waiting.popitem()
            wanted = {key for number in numbers if (key := keys[number]) is not None}
            found = self._finder.find_many(state.io, paths, group.entity, wanted)
            for number in numbers:
                rows = found.get(keys[number] or (), [])
                try:
                    further = tuple(searches[number].send(rows))
                except StopIteration as end:
                    answers[number] = end.value
                except LookupMiss as miss:
                    answers[number] = miss
                else:
                    waiting.setdefault(further, []).append(number)
        return answers

    def _state(self, name: str, *, anew: bool = False) -> LookupState:
        state = self._states.get(name)
        if state is not None and not anew and self._clock() < self._due[name]:
            return state
        # One thread looks for a new state; the others go on with the one they have.
        if not self._lock.acquire(blocking=state is None or anew) and state is not None:
            return state
        try:
            return self._renew(name)
        finally:
            self._lock.release()

    def _renew(self, name: str) -> LookupState:
        state = self._states.get(name)
        location = metadata_location(self._catalog, spans_name(name))
        if state is None or state.location != location:
            self._states.pop(name, None)
            state = load_state(open_snapshot(self._catalog, name))
        self._due[name] = self._clock() + self._refresh_seconds
        self._states[name] = state
        return state
