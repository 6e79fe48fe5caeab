"""
Responsible for the offline store as a request sees it: its catalog, and how long a read may take.

Opens nothing before a request needs it, and opens it again after it was away. Does not answer HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, TypeAlias, TypeVar

from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.errors import LookupMiss, OfflineStoreUnavailable
from materializer.offline.catalog import open_catalog
from materializer.offline.lookup import OfflineReader, State
from materializer.views.versions import PublishedVersion, VersionCache
from serve.errors import Overloaded
from serve.limits import MOST_OFFLINE, Deadline
from serve.stores.breaker import Breaker
from serve.stores.directory import Groups

OFFLINE_TIMEOUT = 5.0
BATCH_TIMEOUT = 60.0
# Batches that are read at one time; each takes CPU from single lookups.
BATCH_MOST = 4
# Time [s] that a batch waits for its turn.
BATCH_PATIENCE = 5.0

T = TypeVar("T")
Row: TypeAlias = "dict[str, Any]"


class OfflineStore:
    """
    The Iceberg side; thread-safe.

    Every method raises `StoreUnavailable` when catalog or files cannot be read, and where it takes
    a group also when that was never published.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._breaker = Breaker()
        self._deadline = Deadline(
            OFFLINE_TIMEOUT, most=MOST_OFFLINE, overrun=_overrun, crowded=Overloaded
        )
        # A batch that took too long must not keep single lookups from the store.
        self._batch_breaker = Breaker()
        self._batch_deadline = Deadline(
            BATCH_TIMEOUT,
            most=BATCH_MOST,
            overrun=_overrun,
            crowded=Overloaded,
            patience=BATCH_PATIENCE,
        )
        self._opening = threading.Lock()
        self._catalog: Catalog | None = None
        self._reader: OfflineReader | None = None
        self._versions = VersionCache()

    def groups(self) -> Groups:
        """Read the registry that was published with the data."""
        return self._call(self._read_groups)

    def state(self, group: str, until: date = date.max) -> State:
        """Return how far the published data of a group reaches, at most to the day *until*."""
        return self._call(lambda reader: reader.state(group, until))

    def views(self) -> list[PublishedVersion]:
        """Return every published version of every feature view, the newest of a view last."""
        return self._call(lambda reader: self._versions.read(reader.catalog))

    def lookup(self, group: str, key: Sequence[str], as_of: datetime) -> Row:
        """
        Read the newest row of a key that was available at *as_of* [aware].

        Returns:
            Every column of the group by name, as Python values.

        Raises:
            LookupMiss: There is no such row.
        """
        return self._call(lambda reader: reader.lookup(group, key, as_of))

    def lookup_many(
        self,
        group: str,
        lookups: Sequence[tuple[Sequence[str], datetime]],
        *,
        definition: str | None = None,
    ) -> list[Row | LookupMiss]:
        """Read many rows, each by its key and time; see `OfflineReader.lookup_many`."""

        def read() -> list[Row | LookupMiss]:
            return self._read(
                lambda reader: reader.lookup_many(group, lookups, definition=definition)
            )

        return self._batch_breaker.call(lambda: self._batch_deadline.call(read))

    def close(self) -> None:
        """Close the catalog; the next read opens it again."""
        with self._opening:
            self._reader = None
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None

    def _read_groups(self, reader: OfflineReader) -> Groups:
        # A local catalog is a file that may have been replaced; a connection would go on with the
        # deleted one. A catalog makes new connections when it needs them.
        if self._catalog is not None:
            self._catalog.close()
        return reader.groups()

    def _call(self, work: Callable[[OfflineReader], T]) -> T:
        return self._breaker.call(lambda: self._deadline.call(lambda: self._read(work)))

    def _read(self, work: Callable[[OfflineReader], T]) -> T:
        reader = self._reader
        if reader is not None:
            try:
                return work(reader)
            except OfflineStoreUnavailable:
                # An idle connection may have been cut, or the catalog replaced under its name.
                self.close()
        try:
            return work(self._open())
        except OfflineStoreUnavailable:
            self.close()
            raise

    def _open(self) -> OfflineReader:
        with self._opening:
            if self._reader is None:
                self._catalog = open_catalog(self._settings)
                self._reader = OfflineReader(self._catalog)
            return self._reader


def _overrun(problem: str) -> OfflineStoreUnavailable:
    return OfflineStoreUnavailable("catalog", problem)
