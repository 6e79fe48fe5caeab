"""
`feature-server`, also `python -m serve`: the production server on the command line.

Responsible for the options, the lines a person reads while it starts, and the exit codes. Does not
listen where other machines could reach it, unless callers must send a token; and does not need a
filled store: it starts, and `/ready` reports what is missing.
"""

from __future__ import annotations

import errno
import ipaddress
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.synchronize import Lock
from typing import TYPE_CHECKING

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from materializer.config import Settings
from materializer.errors import (
    DONE,
    FAILED,
    USAGE,
    FeatureStoreError,
    StoreUnavailable,
    UsageError,
)
from materializer.online import connection
from materializer.scratch import ScratchFolder
from serve import create_app
from serve.auth import read_token

if TYPE_CHECKING:
    from flask import Flask

NAME = "feature-server"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"

# Threads of a worker that answer, made as they are needed; more requests wait in line. For /health,
# /metrics and online lookups of one row are left those that `serve.limits` gives to nothing else.
THREADS = 192
# Time [s] a request in flight has to end after SIGTERM.
GRACE = 10
# Longest time [s] from a made application to an open port, and between two checks of it.
OPEN_PATIENCE = 30.0
OPEN_WATCH = 0.01
# Time [s] between two checks whether the parent lives.
PARENT_WATCH = 1.0
# Files in this folder never reach a disk; Linux has it.
MEMORY = "/dev/shm"  # noqa: S108 - a folder of mkdtemp in it belongs to nobody else
# Time [s] to wait for one answer of the online store before starting without it.
WAKE_TIMEOUT = 1.0

# \b keeps click from filling the lines below it.
EPILOG = f"""\
\b
examples:
  {NAME}                            {DEFAULT_URL}, one worker
  {NAME} --port 9000 --workers 2    another port, two processes
  curl {DEFAULT_URL}/features/online/user1
  curl '{DEFAULT_URL}/features/offline/user1?as_of=2024-03-30T12:00:00Z'
  curl {DEFAULT_URL}/ready

\b
settings (environment):
  FEATURE_STORE_HOME    folder of the stores (default: .feature_store)
  FEATURE_STORE_NOW     the clock, for tests and demos (default: the real one)
  REDIS_URL             the online store (default: an embedded server, started on demand)
  FEATURE_SERVER_TOKEN  bearer token that clients must send (default: none, loopback only)
  PYICEBERG_CATALOG__*  any PyIceberg catalog in place of the local one

exit codes: 0 stopped by SIGTERM or Ctrl-C, 1 the server cannot start, 2 usage
"""


class CannotStart(FeatureStoreError):
    """The port is taken or not allowed, or there is no room."""

    exit_code = FAILED


@click.command(
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--host",
    default=DEFAULT_HOST,
    help="Address to listen on; one that other machines can reach only with FEATURE_SERVER_TOKEN "
    "set.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, help="TCP port to listen on."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    help=f"Processes that answer, {THREADS} requests at a time each; about one for each core that "
    "Redis and other work leave free.",
)
def program(host: str, port: int, workers: int) -> int:
    """
    Answer feature lookups over HTTP.

    Online from Redis, offline (as_of a time) from the Iceberg tables. It reads what `materializer
    run` wrote, and runs next to it.
    """
    token = read_token()
    if token is None:
        _require_loopback(host)
    settings = Settings.from_env()
    _require_free(host, port)
    _wake_online_store(settings)
    return _serve(settings, token, host, port, workers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is stopped, and return the exit code."""
    try:
        return int(program.main(arguments, prog_name=NAME, standalone_mode=False) or DONE)
    except click.UsageError as error:
        error.show()
        return USAGE
    except FeatureStoreError as error:
        _print(str(error), error=True)
        return error.exit_code


def _require_loopback(host: str) -> None:
    if not all(ipaddress.ip_address(address).is_loopback for address in _addresses(host)):
        raise UsageError(
            f"--host {host} can be reached from other machines, so set FEATURE_SERVER_TOKEN, "
            "which every client must then send, or listen on loopback: 127.0.0.1, ::1 or localhost"
        )


def _addresses(host: str) -> list[str]:
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UsageError(f"--host {host} is not an address of this machine") from None
    return [str(entry[4][0]) for entry in entries]


def _require_free(host: str, port: int) -> None:
    """
    Check that the port is free.

    The server opens its socket so that several processes may share the port, and would join
    another server of the same user without a word.
    """
    address = _addresses(host)[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotStart(f"port {port} is taken; choose another with --port") from None
            raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from None


def _wake_online_store(settings: Settings) -> None:
    # Not in a worker, so that it is reported once, and before the first request.
    try:
        connection.connect(settings, announce=_print, timeout=WAKE_TIMEOUT).close()
    except StoreUnavailable as error:
        _print(f"{error}; until then online lookups answer 503", error=True)


def _serve(settings: Settings, token: str | None, host: str, port: int, workers: int) -> int:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    server = Granian(
        "serve:create_app",
        address=_addresses(host)[0],
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=workers,
        blocking_threads=THREADS,
        respawn_failed_workers=True,
        workers_kill_timeout=GRACE,
        log_level=LogLevels.error,
    )
    first = multiprocessing.Lock()
    folder = _counts_folder()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder.path)
    try:
        server.serve(
            target_loader=partial(
                _load, settings, token, (host, port), f"http://{authority}", first
            ),
            wrap_loader=False,
        )
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    finally:
        folder.cleanup()
    _print("stopped")
    return DONE


def _counts_folder() -> ScratchFolder:
    """Make the folder for the counts of all workers, so that any of them can report the sum."""
    # The files are mapped into memory, and a disk that fills up would end a worker that counts.
    folder = MEMORY if os.access(MEMORY, os.W_OK) else None
    try:
        return ScratchFolder(f"{NAME}-", folder)
    except OSError as error:
        raise CannotStart(
            f"no folder for the workers' counts can be made: {error}; make room in TMPDIR"
        ) from None


def _load(
    settings: Settings, token: str | None, address: tuple[str, int], url: str, first: Lock
) -> Flask:
    """Make one worker's application; the first worker reports that the server is ready."""
    # Until the worker sets its own, it has the handler of its parent, which would swallow a stop.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Not in the parent; see the package.
    from serve import sockets
    from serve.errors import ApiError, translate
    from serve.requests.body import BODIES
    from serve.stores.stores import Stores

    stores = Stores(settings)
    app = create_app(settings, stores=stores, token=token)
    sockets.watch(address[1], app.extensions[BODIES])
    curl = "curl" if token is None else 'curl -H "Authorization: Bearer $FEATURE_SERVER_TOKEN"'
    line = f"listening on {url}; try: {curl} {url}/feature-groups"
    try:
        # Opens the catalog and reads the registry, so that the first request need not.
        stores.directory.default()
        line = f"listening on {url}; try: {curl} {url}/features/online/user1"
    except (ApiError, StoreUnavailable) as error:
        if translate(error).code != "unknown_group":
            line = f"listening on {url}, not ready: {error}; check again: {curl} {url}/ready"
    if first.acquire(block=False):
        threading.Thread(target=_print_when_open, args=(address, line), daemon=True).start()
    return app


def _print_when_open(address: tuple[str, int], line: str) -> None:
    """Print a line once the port answers: the server opens it after the application is made."""
    deadline = time.monotonic() + OPEN_PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(address, timeout=OPEN_PATIENCE):
            _print(line)
            return
        time.sleep(OPEN_WATCH)
    _print(f"the port {address[1]} did not open within {OPEN_PATIENCE:.0f} s", error=True)


def _end_with(parent: int) -> None:
    """End this worker soon after its parent was killed; else it would keep the port for ever."""
    while os.getppid() == parent:
        time.sleep(PARENT_WATCH)
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)


def _print(line: str, *, error: bool = False) -> None:
    click.echo(f"{NAME}: {line}", err=error)


if __name__ == "__main__":
    sys.exit(main())
