"""
Open connections to the online store, each in the hand of one request at a time.

Owns the way of one command to the server and of its reply back. redis-py's own client takes a
connection out of its pool for every command, looks whether it is still open, counts, and gives it
back, which costs several times the command itself; here a connection stays taken, and one that was
closed meanwhile is found out by using it. Refuses to know what a command means.
"""

from __future__ import annotations

from typing import Any

import redis
from hiredis import pack_command


class Connections:
    """
    The connections of one pool; thread-safe.

    Args:
        pool: Makes them. Nobody else may take any.
    """

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        # Append and pop of a list are atomic, and the last one back is the likeliest to be open.
        # Of redis-py's connections; it types little of them.
        self._free: list[Any] = []

    def ask(self, *command: str) -> Any:
        """
        Send one command, and give its reply as the server wrote it: bytes, a number, a list.

        A lost connection, which may have been lost since its last use, is made anew once and the
        command sent again, so it must be one that may be carried out twice. A server that does not
        answer in time is not asked twice.

        Raises:
            redis.RedisError: It cannot be reached, takes too long, or answers an error.
        """
        try:
            connection = self._free.pop()
        except IndexError:
            connection = self._pool.get_connection()
        try:
            try:
                return _talk(connection, command)
            except redis.ConnectionError:
                # It closed itself: no later question can be given the reply of this one.
                return _talk(connection, command)
        finally:
            if connection.should_reconnect():  # the server said that it moves
                connection.disconnect()
            self._free.append(connection)

    def close(self) -> None:
        """Close all; the next question opens them again."""
        self._pool.disconnect()


def _talk(connection: Any, command: tuple[str, ...]) -> Any:
    # What `send_command` sends, without its look at every argument. hiredis's types know only
    # commands of one word.
    connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type]
    return connection.read_response()
