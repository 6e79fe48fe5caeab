"""
The two stores as a request sees them: opened when first needed, opened again after they were away.

Owns the connections of one process, their timeouts, and the reading of one online row. Refuses to
answer HTTP, and to open anything at import or in the factory: a server starts, and says what is
missing, also when no store is there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from typing import Any, TypeVar, cast

import redis
from flask import current_app
from pyiceberg.catalog import Catalog
from redis.backoff import NoBackoff
from redis.retry import Retry

from materializer.config import Settings
from materializer.errors import (
    LookupMiss,
    OfflineStoreUnavailable,
    OnlineStoreUnavailable,
    UnreadableValue,
)
from materializer.offline.catalog import open_catalog
from materializer.offline.reader import Asked, OfflineReader, State
from materializer.online import codec, connection
from materializer.registry import Contract, FeatureGroup
from materializer.views.versions import PublishedVersion
from serve.breaker import Breaker, Deadline
from serve.connections import Connections
from serve.errors import ApiError
from serve.groups import Directory, Groups
from serve.versions import Versions

ONLINE_TIMEOUT = 1.0
CONNECT_TIMEOUT = 2.0
OFFLINE_TIMEOUT = 5.0
PAUSE = 0.5
OFFLINE_MOST = 32
BATCH_TIMEOUT = 60.0
# Batches that are read at one time; each takes CPU from single lookups.
BATCH_MOST = 4

T = TypeVar("T")
Row = dict[str, Any]
_logger = logging.getLogger(__name__)


class OnlineStore:
    """
    The Redis side; thread-safe.

    Args:
        settings: Says where the server is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._breaker = Breaker(PAUSE)
        # Starting an embedded server takes longer than a lookup may; whoever comes next finds it.
        self._connecting = Deadline(CONNECT_TIMEOUT, most=1, failure=self._unavailable)
        self._connections: Connections | None = None
        self._contracts: dict[str, Contract] = {}

    def row(self, group: FeatureGroup, key: Sequence[str]) -> Row | None:
        """
        Read one entity's row, in one round trip once its contract is known.

        Returns:
            Column name -> JSON value in contract order, or None when there is no such key.

        Raises:
            ApiError: `not_materialized`: the contract of the value is gone.
            StoreUnavailable: The server cannot be reached.
            UnreadableValue: The key holds something else.
        """
        raw = self._get(codec.key(group.key_prefix, key))
        return None if raw is None else self.decode(raw)

    def rows(
        self, group: FeatureGroup, keys: Sequence[Sequence[str]]
    ) -> tuple[list[list[Any] | None], Mapping[str, Contract], bool]:
        """
        Read many entities' rows, in one round trip once their contract is known.

        Args:
            group: The group.
            keys: n keys.

        Returns:
            For each key, in their order, the id of the row's contract and then its values, or None
            when there is no such key; the contracts by id; and whether a push of the group ever
            ended.

        Raises:
            ApiError: `not_materialized`: the contract of a value is gone.
            StoreUnavailable: The server cannot be reached.
            UnreadableValue: A key holds something else.
        """
        names = codec.keys(group.key_prefix, keys)
        names.append(codec.meta_key(group.name))
        *raw, meta = self.read(names)
        rows = [None if one is None else codec.decode_array(one) for one in raw]
        contracts = {}
        # Seldom more than one: a push writes all rows by one contract.
        for contract_id, size in {(row[0], len(row)) for row in rows if row is not None}:
            contracts[contract_id] = self._contract(contract_id)
            codec.require_whole(contracts[contract_id], size - 1)
        return rows, contracts, meta is not None

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """
        Read the values of many keys, in one round trip.

        Raises:
            StoreUnavailable: The server cannot be reached.
            UnreadableValue: A key holds no text.
        """
        return cast("list[bytes | None]", self._ask("MGET", *keys))

    def decode(self, raw: bytes) -> Row:
        """
        Read one row of any group; see `row`.

        Raises:
            ApiError: `not_materialized`: the contract of the value is gone.
            StoreUnavailable: The server cannot be reached.
            UnreadableValue: It is something else.
        """
        contract_id, values = codec.decode_value(raw)
        return codec.row(self._contract(contract_id), values)

    def holds(self, *groups: str) -> bool:
        """
        Tell whether a push of any of these groups ever ended.

        Raises:
            StoreUnavailable: The server cannot be reached.
        """
        return bool(self._ask("EXISTS", *map(codec.meta_key, groups)))

    def newest_day(self, group: str) -> date | None:
        """
        Tell the newest day that is online, None when there is none or nothing was pushed.

        Raises:
            StoreUnavailable: The server cannot be reached.
            UnreadableValue: What is stored there is not ours.
        """
        raw = self._get(codec.meta_key(group))
        day = None if raw is None else codec.Meta.from_json(raw).day
        return None if day is None else date.fromisoformat(day)

    def ping(self) -> None:
        """
        Ask the server for a sign of life.

        Raises:
            StoreUnavailable: There is none.
        """
        self._ask("PING")

    def close(self) -> None:
        """Close the connections; the next question opens one again."""
        known, self._connections = self._connections, None
        if known is not None:
            known.close()

    def _contract(self, contract_id: str) -> Contract:
        known = self._contracts.get(contract_id)
        if known is not None:
            return known
        text = self._get(codec.contract_key(contract_id))
        if text is None:
            raise ApiError(
                "not_materialized",
                f"the online store lost contract {contract_id}, which its values name; "
                "run: materializer push --all",
            )
        known = self._contracts[contract_id] = Contract.from_text(text.decode())
        return known

    def _get(self, key: str) -> bytes | None:
        return cast("bytes | None", self._ask("GET", key))

    def _ask(self, *command: str) -> Any:
        return self._breaker.call(partial(self._once, command))

    def _once(self, command: Sequence[str]) -> Any:
        known = self._connections or self._connecting.call(self._connect)
        try:
            return known.ask(*command)
        except redis.ConnectionError as error:
            # It may come back elsewhere: connecting starts an embedded server again.
            self._connections = None
            raise self._unavailable(error) from error
        except redis.RedisError as error:
            if str(error).startswith("WRONGTYPE"):
                raise UnreadableValue("not a text") from error
            raise self._unavailable(error) from error

    def _connect(self) -> Connections:
        if self._connections is None:
            client = connection.connect(
                self._settings, announce=_logger.info, timeout=ONLINE_TIMEOUT, check=False
            )
            # One retry, at once and only for a lost connection, as a command has. A server that
            # does not answer is not asked twice by one request.
            client.set_retry(Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)))
            self._connections = Connections(client.connection_pool)
        return self._connections

    def _unavailable(self, problem: Exception | str) -> OnlineStoreUnavailable:
        return OnlineStoreUnavailable(
            connection.address_of(self._settings), str(problem).rstrip(".")
        )


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
        return cast("list[PublishedVersion]", self._call(lambda reader: reader.view_versions()))

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

    def lookup_many(self, group: str, asked: Sequence[Asked]) -> list[Row | LookupMiss]:
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


@dataclass(frozen=True)
class Stores:
    """
    Everything one process of the server works with.

    Attributes:
        settings: Where the stores are, and the clock.
    """

    settings: Settings

    @cached_property
    def online(self) -> OnlineStore:
        """The Redis side."""
        return OnlineStore(self.settings)

    @cached_property
    def offline(self) -> OfflineStore:
        """The Iceberg side."""
        return OfflineStore(self.settings)

    @cached_property
    def versions(self) -> Versions:
        """The pushed versions of the feature views."""
        return Versions(self.online)

    @cached_property
    def directory(self) -> Directory:
        """The published groups."""
        return Directory(self.offline.groups)

    def close(self) -> None:
        """Close both sides."""
        self.online.close()
        self.offline.close()


def current() -> Stores:
    """Return the stores of the application that answers this request."""
    return cast("Stores", current_app.extensions["stores"])
