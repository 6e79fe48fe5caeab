"""
Where the online store is, and how it is reached.

Responsible for the meaning of `REDIS_URL`, the timeouts, and the errors of a server that is lost.
Without `REDIS_URL` the server is the embedded one of this machine. Does not show a password: an
address is scheme, host, port and database, or a socket's path, and nothing else of the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from materializer.config import Settings
from materializer.errors import OnlineStoreUnavailable, OnlineWriteFailed, UsageError
from materializer.online import embedded

TIMEOUT = 5.0


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
        with translate_errors(client):
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
def translate_errors(client: redis.Redis) -> Iterator[None]:
    """
    Raise the errors of this project in place of those of Redis.

    Raises:
        OnlineStoreUnavailable: There is no connection, no answer in time, or the login is refused.
        OnlineWriteFailed: The server answered with an error.
    """
    try:
        yield
    except ResponseError as error:
        raise OnlineWriteFailed(address(client), _one_line(error)) from error
    except RedisError as error:
        raise OnlineStoreUnavailable(address(client), _one_line(error)) from error


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
    except ValueError:
        # The parser's own message may quote a piece of the password.
        raise UsageError(
            "REDIS_URL is not the address of a Redis server; write redis://host:6379/0, "
            "rediss://host:6380/0 or unix:///path/to/socket, and percent-encode special "
            "characters in a password"
        ) from None
    # The codec reads bytes; an option in the URL must not change that.
    pool.connection_kwargs["decode_responses"] = False
    return pool
