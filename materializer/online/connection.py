"""
Where the online store is, and how it is reached.

Responsible for the meaning of `REDIS_URL`, the timeouts, and the errors of a server that is lost.
Without `REDIS_URL` the server is the embedded one of this machine. Does not show a password: an
address is scheme, host, port and database, or a socket's path, and nothing else of the URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    ClusterError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from materializer.config import Settings
from materializer.errors import OnlineStoreUnavailable, OnlineWriteFailed, UsageError
from materializer.online import embedded

TIMEOUT = 5.0

# What a server answers that cannot be used as it is, and what to do.
_ADVICE: dict[tuple[type[RedisError], ...], str] = {
    (MovedError, AskError, ClusterError, ClusterDownError, ClusterCrossSlotError): (
        "; a Redis Cluster is not supported; set REDIS_URL to a single server"
    ),
    (ReadOnlyError,): "; it is a replica: set REDIS_URL to its primary",
    (NoPermissionError,): "; permit its user the commands of docs/how-to/operations.md",
}
# Codes of a server that takes no writes.
_NO_WRITE = ("MISCONF", "NOREPLICAS")


def connect(
    settings: Settings,
    *,
    announce: Callable[[str], None] | None = None,
    timeout: float = TIMEOUT,
    check: bool = True,
) -> redis.Redis:
    """
    Connect to the online store, and start the embedded server when there is no `REDIS_URL`.

    Args:
        settings: Names the server, or the home of the embedded one.
        announce: Called with one line when the embedded server is used.
        timeout: Longest wait for one answer [s].
        check: Send a ping first. Otherwise the first command fails when a server is down.

    Returns:
        A client that returns bytes, whatever the URL says; safe to share between threads.

    Raises:
        OnlineStoreUnavailable: The server does not answer, or refuses the login.
        UsageError: `REDIS_URL` is not the address of a Redis server.
    """
    if settings.redis_url is None:
        path, started = embedded.start_if_needed(settings)
        if announce is not None:
            announce(
                f"REDIS_URL is not set: the embedded online store in {embedded.folder(settings)} "
                f"{'was started' if started else 'is running'}"
            )
        pool = redis.ConnectionPool(
            connection_class=UnixDomainSocketConnection, path=str(path), **_options(timeout)
        )
    else:
        pool = _pool(settings.redis_url, timeout)
    client = redis.Redis(connection_pool=pool)
    if check:
        # A server that refuses a ping, because it may not write to its disk or the user may not
        # ping, still answers; what it refuses of the rest is met by the command that needs it.
        with translate_errors(client), suppress(ResponseError):
            client.ping()
    return client


def may_exist(settings: Settings) -> bool:
    """Return whether there may be an online store, without starting the embedded server."""
    return settings.redis_url is not None or embedded.folder(settings).is_dir()


def address_of(settings: Settings) -> str:
    """Return the address of the online store, without user, password or options."""
    if settings.redis_url is None:
        return f"embedded in {embedded.folder(settings)}"
    return address(redis.Redis(connection_pool=_pool(settings.redis_url, TIMEOUT)))


def address(client: redis.Redis) -> str:
    """Return the address of a client's server, without user, password or options."""
    options = client.get_connection_kwargs()
    database = options.get("db", 0)
    if "path" in options:
        return f"unix://{options['path']}" + (f"?db={database}" if database else "")
    is_tls = issubclass(client.connection_pool.connection_class, SSLConnection)
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return f"{'rediss' if is_tls else 'redis'}://{host}:{port}/{database}"


@contextmanager
def translate_errors(client: redis.Redis, *, writes: bool | None = None) -> Iterator[None]:
    """
    Raise the errors of this project in place of those of Redis; see `translated`.

    Raises:
        OnlineStoreUnavailable: There is no connection, no answer in time, the login is refused, or
            the server cannot be used as it is.
        OnlineWriteFailed: It refused a write.
    """
    try:
        yield
    except RedisError as error:
        raise translated(error, address(client), writes=writes) from error


def translated(
    error: RedisError, address: str, *, writes: bool | None
) -> OnlineStoreUnavailable | OnlineWriteFailed:
    """
    Return the error of this project for one of Redis.

    Where only some commands write, *writes* is None: a refused write is then what no server says of
    reading.
    """
    detail = _one_line(error)
    for kinds, advice in _ADVICE.items():
        if isinstance(error, kinds):
            code = f"{error.status_code} " if error.status_code else ""
            return OnlineStoreUnavailable(address, f"{code}{detail}", advice)
    # Of these redis-py's error has the code in its text, or has a class.
    refused = isinstance(error, OutOfMemoryError) or detail.startswith(_NO_WRITE)
    if isinstance(error, ResponseError) and (refused if writes is None else writes):
        return OnlineWriteFailed(address, detail)
    return OnlineStoreUnavailable(address, detail)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _options(timeout: float) -> dict[str, Any]:
    # A server that restarts answers again within a tenth of a second; one that is down should be
    # reported at once, because a lookup waits for this.
    retry = Retry(ExponentialBackoff(base=0.02, cap=0.1), 2)
    return {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": retry}


def _pool(url: str, timeout: float) -> redis.ConnectionPool:
    try:
        pool = redis.ConnectionPool.from_url(url, **_options(timeout))
        parts = urlsplit(url)
        # redis-py takes a database that is no number for 0.
        if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
            raise UsageError(
                "REDIS_URL names a database that is no number; write redis://host:6379/0"
            )
        # Options are read only when a connection is made.
        pool.connection_class(**pool.connection_kwargs)
    except ValueError:
        # The parser's own message may quote a piece of the password.
        scheme = url.partition("://")[0].lower()
        kind = next((kind for kind in ("sentinel", "cluster") if kind in scheme), None)
        if kind is not None:
            raise UsageError(
                f"REDIS_URL is the address of a Redis {kind.title()}, which is not supported; "
                "write that of a single server, such as the primary: redis://host:6379/0"
            ) from None
        raise UsageError(
            "REDIS_URL is not the address of a Redis server; write redis://host:6379/0, "
            "rediss://host:6380/0 or unix:///path/to/socket, and percent-encode special "
            "characters in a password"
        ) from None
    except TypeError as error:
        name = re.search(r"'(\w+)'", str(error))
        option = f" {name[1]}" if name else ""
        raise UsageError(f"REDIS_URL has an option{option} that redis-py does not know") from None
    # The codec reads bytes; an option in the URL must not change that.
    pool.connection_kwargs["decode_responses"] = False
    return pool
