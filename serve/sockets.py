"""
Responsible for closing connections on which the rest of a body is still to come, long after.

Granian closes a connection on which no request begins within 30 s, but waits for a body for ever,
and cannot be told to stop. The kernel knows when a connection was last sent anything, and every
request is answered sooner than `LONGEST`. Does nothing on a system without `TCP_INFO`.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

from serve.requests.body import Bodies

# Time [s] after which a connection that was sent nothing cannot be waiting for an answer: a batch
# offline may take 60 s, its turn and its body 15 s.
LONGEST = 90.0
WATCH = 5.0

FILES = Path("/proc/self/fd")
# Of the kernel's `struct tcp_info`: eight bytes, then numbers of four.
_LAST_SENT_MS = struct.Struct("=8x36xI")


def watch(port: int, bodies: Bodies) -> None:
    """While readers of bodies are stuck, close what holds them up; on a thread of its own."""
    if hasattr(socket, "TCP_INFO") and FILES.is_dir():
        threading.Thread(target=_watch, args=(port, bodies), daemon=True).start()


def _watch(port: int, bodies: Bodies) -> None:
    while True:
        time.sleep(WATCH)
        if bodies.stuck:
            close_silent(port, LONGEST)


def close_silent(port: int, longest: float) -> None:
    """Close the connections to a port of this process that were sent nothing for so long [s]."""
    for file in list(FILES.iterdir()):
        # A file may be closed meanwhile, and its number stand for another: a copy stays the same.
        with suppress(OSError):
            copy = os.dup(int(file.name))
            if not stat.S_ISSOCK(os.fstat(copy).st_mode):
                os.close(copy)
                continue
            with socket.socket(fileno=copy) as connection:
                is_ours = connection.family != socket.AF_UNIX and (
                    connection.getsockname()[1] == port and connection.getpeername()
                )
                if is_ours and _silent_for(connection) > longest:
                    connection.shutdown(socket.SHUT_RDWR)


def _silent_for(connection: socket.socket) -> float:
    """Return how long ago something was sent [s], or else the connection made."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_SENT_MS.size)
    (milliseconds,) = _LAST_SENT_MS.unpack(info)
    return float(milliseconds) / 1000
