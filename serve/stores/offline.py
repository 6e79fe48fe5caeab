"""
The offline store as a request sees it.

Responsible for the Iceberg catalog of one process and the time that a lookup may take. Does not
answer HTTP, and opens nothing before a request needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, TypeVar, cast

from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.errors import LookupMiss, OfflineStoreUnavailable
from materializer.offline.catalog import open_catalog
from materializer.offline.lookup import LookupRequest, OfflineReader, State
from materializer.views.versions import PublishedVersion, VersionCache
from serve.stores.breaker import Breaker, Deadline
from serve.stores.directory import Groups

OFFLINE_TIMEOUT = 5.0
PAUSE = 0.5
OFFLINE_MOST = 32
BATCH_TIMEOUT = 60.0
# Batches that are read at one time; each takes CPU from single lookups.
BATCH_MOST = 4

T = TypeVar("T")
Row = dict[str, Any]


class OfflineStore:
    """
    The Iceberg side; thread-safe.

    Args:
        settings: Says where the catalog is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._breaker = Breaker(PAUSE)
        self._deadline = Deadline(
            OFFLINE_TIMEOUT,
            most=OFFLINE_MOST,
            failure=self._overrun,
        )
        self._batches = Breaker(PAUSE)
        self._batch_deadline = Deadline(BATCH_TIMEOUT, most=BATCH_MOST, failure=self._overrun)
        self._opening = threading.Lock()
        self._catalog: Catalog | None = None
        self._reader: OfflineReader | None = None
        self._versions = VersionCache()

    def groups(self) -> Groups:
        """
        Read the registry that was published with the data.

        Raises:
            StoreUnavailable: The catalog cannot be read.
        """
        return cast("Groups", self._call(self._groups_of))

    def state(self, group: str, until: date | None = None) -> State:
        """
        Tell how far the published data of a group reaches.

        Args:
            group: Group name.
            until: Tell of the newest day up to this one; None: of the newest.

        Raises:
            StoreUnavailable: The store cannot be read, or the group was never published.
        """
        return cast("State", self._call(lambda reader: reader.state(group, until)))

    def views(self) -> list[PublishedVersion]:
        """
        Tell every published version of every feature view, the newest of a view last.

        Raises:
            StoreUnavailable: The store cannot be read.
        """
        read = self._versions.read
        return cast("list[PublishedVersion]", self._call(lambda reader: read(reader.catalog)))

    def lookup(self, group: str, key: Sequence[str], as_of: datetime) -> Row:
        """
        Read the newest row that was available at *as_of*.

        Args:
            group: Group name.
            key: The entity's key as text, in key order.
            as_of: The time [aware].

        Returns:
            Every column of the group by name, as Python values.

        Raises:
            StoreUnavailable: Catalog or files cannot be read, or the group was never published.
            LookupMiss: There is no such row.
        """
        return cast("Row", self._call(lambda reader: reader.lookup(group, key, as_of)))

    def lookup_many(self, group: str, asked: Sequence[LookupRequest]) -> list[Row | LookupMiss]:
        """
        Read many rows; see `OfflineReader.lookup_many`.

        They have longer than one row, and so a patience of their own: a batch that took too long
        says nothing about the next lookup.

        Raises:
            StoreUnavailable: Catalog or files cannot be read, or the group was never published.
        """

        def question(reader: OfflineReader) -> list[Row | LookupMiss]:
            return reader.lookup_many(group, asked)

        return self._batches.call(lambda: self._batch_deadline.call(lambda: self._once(question)))

    def close(self) -> None:
        """Let go of the catalog; the next question opens it again."""
        with self._opening:
            self._reader = None
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None

    def _groups_of(self, reader: OfflineReader) -> Groups:
        # A local catalog is a file that may have been made anew; a connection would go on with the
        # deleted one. A catalog makes new connections when it needs them.
        if self._catalog is not None:
            self._catalog.close()
        return reader.groups()

    def _call(self, question: Callable[[OfflineReader], Any]) -> Any:
        return self._breaker.call(lambda: self._deadline.call(lambda: self._once(question)))

    @staticmethod
    def _overrun(problem: str) -> OfflineStoreUnavailable:
        return OfflineStoreUnavailable("catalog", problem)

    def _once(self, question: Callable[[OfflineReader], T]) -> T:
        reader = self._reader or self._open()
        try:
            return question(reader)
        except OfflineStoreUnavailable:
            self.close()  # the catalog may have been made anew under its name
            raise

    def _open(self) -> OfflineReader:
        with self._opening:
            if self._reader is None:
                self._catalog = open_catalog(self._settings)
                self._reader = OfflineReader(self._catalog)
            return self._reader
