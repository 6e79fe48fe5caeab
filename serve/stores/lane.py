"""
Responsible for one way to the online store: its connections, its patience, its memory of failures.

Opens nothing before a request needs it, and opens it again after it was away. Does not know what a
command means.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from materializer.config import Settings
from materializer.errors import OnlineStoreUnavailable, UnreadableValue
from materializer.online import connection
from serve.limits import Deadline
from serve.stores.breaker import Breaker
from serve.stores.connections import Connections

CONNECT_TIMEOUT = 2.0

_logger = logging.getLogger(__name__)


class Lane:
    """
    Sends commands to the server; thread-safe.

    Args:
        settings: Where it is.
        timeout: Longest wait for one answer [s].
    """

    def __init__(self, settings: Settings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._breaker = Breaker()
        # Starting an embedded server takes longer than a lookup may; the next request finds it.
        self._connecting = Deadline(
            CONNECT_TIMEOUT,
            most=1,
            overrun=self.unavailable,
            crowded=lambda: self.unavailable("too many lookups wait for it"),
            patience=CONNECT_TIMEOUT,
        )
        self._connections: Connections | None = None

    def execute(self, *command: str) -> Any:
        """
        Send one command, which may be carried out twice, and return its reply.

        Raises:
            ApiError: `store_unavailable`: it could not be reached a moment ago.
            OnlineStoreUnavailable: It cannot be reached, or refuses.
            UnreadableValue: A key holds no string.
        """
        return self._breaker.call(partial(self._send, command))

    def close(self) -> None:
        """Close the connections; the next command opens one again."""
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    def unavailable(self, problem: str) -> OnlineStoreUnavailable:
        """Return the error of a server that cannot be reached."""
        return OnlineStoreUnavailable(connection.address_of(self._settings), problem)

    def _send(self, command: Sequence[str]) -> Any:
        connections = self._connections or self._connecting.call(self._connect)
        try:
            return connections.execute(*command)
        except redis.RedisError as error:
            if isinstance(error, redis.ConnectionError):
                # It may come back elsewhere: connecting starts an embedded server again.
                self._connections = None
            if str(error).startswith("WRONGTYPE"):
                raise UnreadableValue("not a string") from error
            raise connection.translated(
                error, connection.address_of(self._settings), writes=False
            ) from error

    def _connect(self) -> Connections:
        if self._connections is None:
            client = connection.connect(
                self._settings, announce=_logger.info, timeout=self._timeout, check=False
            )
            # One retry, at once and only for a lost connection, as a command has. A server that
            # does not answer gets no second try from one request.
            client.set_retry(Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)))
            self._connections = Connections(client.connection_pool)
        return self._connections
