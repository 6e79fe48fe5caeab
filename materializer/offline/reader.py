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
    UnknownGroup,
)
from materializer.offline.catalog import (
    REGISTRY,
    find_table,
    metadata_location,
    published_groups,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.rows import RowFinder
from materializer.offline.search import Row, search, typed_key
from materializer.offline.view import View, load_view
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
        self._views: dict[str, View] = {}
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
                groups[name] = self._view(name).group
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
        view = self._view(group)
        reached = len(view.order) if until is None else bisect_right(view.order, until)
        day = view.order[reached - 1] if reached else None
        latest = None if day is None else view.days[day].latest
        return State(view.snapshot_id, day, None if latest == datetime.max else latest)

    def snapshot_id(self, group: str) -> int:
        """
        Tell which snapshot of a group lookups answer from.

        Raises:
            UnknownGroup, NotPublished, OfflineStoreUnavailable: See `lookup`.
        """
        return self._view(group).snapshot_id

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
        return self._answered(group, lambda view: self._lookup(view, key, as_of))

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
        return self._answered(group, lambda view: self._lookup_many(view, asked))

    def _answered(self, group: str, question: Callable[[View], T]) -> T:
        view = self._view(group)
        try:
            return question(view)
        except FileNotFoundError:
            # Old spans are deleted; a state that old has been replaced since.
            with translate_errors(table_name(group)):
                return question(self._view(group, anew=True))
        except (OSError, pa.ArrowException) as error:
            raise OfflineStoreUnavailable(table_name(group), str(error)) from error

    def _lookup(self, view: View, key: tuple[str, ...], as_of: datetime) -> Row:
        parts = typed_key(view.group, key)
        if parts is None:
            raise UnknownEntity(view.group.name, key)
        searching = search(view, key, as_of)
        paths = next(searching)
        while True:
            found = self._finder.find(view.io, paths, view.group.entity, parts)
            try:
                paths = searching.send([] if found is None else found.to_pylist())
            except StopIteration as end:
                row: Row = end.value
                return row

    def _lookup_many(self, view: View, asked: Sequence[Asked]) -> list[Row | LookupMiss]:
        group = view.group
        keys = [typed_key(group, key) for key, _ in asked]
        # What the searches whose key can be read come to, in the end.
        answers: list[Row | LookupMiss] = [UnknownEntity(group.name, key) for key, _ in asked]
        searches = {
            number: search(view, tuple(asked[number][0]), asked[number][1])
            for number, key in enumerate(keys)
            if key is not None
        }
        waiting = {tuple(view.spans): list(searches)} if searches else {}
        for searching in searches.values():
            next(searching)
        while waiting:
            paths, numbers = waiting.popitem()
            wanted = {key for number in numbers if (key := keys[number]) is not None}
            found = self._finder.find_many(view.io, paths, group.entity, wanted)
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
            raise why_missing(self._catalog, name)
        self._due[name] = self._clock() + self._refresh_seconds
        self._views[name] = view
        return view


def why_missing(catalog: Catalog, name: str) -> UnknownGroup | NotPublished:
    """Tell why a group has no published state: no such group, or not the whole of it yet."""
    known = published_groups(catalog)
    table = find_table(catalog, table_name(name))
    begun = table is not None and REGISTRY in table.properties
    return NotPublished(name) if begun or not known else UnknownGroup(name, known)
