"""
Responsible for open connections to the online store, each used by one request at a time.

redis-py's own client takes a connection out of its pool for every command, looks whether it is
still open, counts, and gives it back, which costs several times the command itself. Here a
connection stays taken, and one that was closed meanwhile is noticed by using it. Does not know what
a command means.
"""

from __future__ import annotations

from typing import Any

import redis
from hiredis import pack_command


class Connections:
    """The connections of one pool, from which nobody else may take any; thread-safe."""

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        # Append and pop of a list are atomic, and the last one back is the likeliest to be open.
        # Of redis-py's connections; it types little of them.
        self._free: list[Any] = []

    def execute(self, *command: str) -> Any:
        """
        Send one command, and return its reply as the server wrote it: bytes, a number, a list.

        A lost connection, which may have been lost since its last use, is opened again once and the
        command repeated, so it must be one that may be carried out twice. A server that does not
        answer in time gets no second command.

        Raises:
            redis.RedisError: It cannot be reached, takes too long, or answers an error.
        """
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._pool.get_connection()
        try:
            try:
                return _exchange(connection, command)
            except redis.ConnectionError:
                # It closed itself: no later command can be given the reply of this one.
                return _exchange(connection, command)
        finally:
            if connection.should_reconnect():  # the server said that it moves
                connection.disconnect()
            self._free.append(connection)

    def close(self) -> None:
        """Close all; the next command opens one again."""
        self._pool.disconnect()


def _exchange(connection: Any, command: tuple[str, ...]) -> Any:
    # What `send_command` sends, without its look at every argument. hiredis's types know only
    # commands of one word.
    connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]
    return connection.read_response()
