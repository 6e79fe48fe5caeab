"""
Responsible for the body of a request: read whole, in time, and not too many at one time.

A client that sends slowly, or never ends, costs a reader of its own, never a thread that answers.
Does not know what a body holds. A body of another length than was said is refused: what is missing
could be the keys at its end.
"""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

from flask import Flask, request

from serve.errors import ApiError, Overloaded, RequestTimeout
from serve.limits import MOST_BODIES, MOST_READERS, Deadline, Room

Environ: TypeAlias = "dict[str, Any]"

# Bytes of one body: room for 10,000 keys of some 1,600 bytes each.
MOST_BYTES = 16 * 2**20
# Time [s] from the head of a request to the last byte of its body.
TIMEOUT = 10.0
# Bytes that all readers together keep.
MOST_KEPT = 4 * MOST_BYTES
# A body above this [bytes] is worked on while few others like it are: it takes ten times its size.
LARGE = 2**16
MOST_LARGE = 2
LARGE_PATIENCE = 5.0

# What a route with a body may answer.
BODY_CODES = ("bad_request", "request_timeout", Overloaded)
# Where an application has its `Bodies`.
BODIES = "bodies"

_PIECE = 2**16
_TAKEN = "feature_server.body"
_PLACES = "feature_server.places"


class Bodies:
    """The bodies that one process reads; thread-safe."""

    def __init__(self) -> None:
        self._deadline = Deadline(
            TIMEOUT, most=MOST_READERS, overrun=RequestTimeout, crowded=Overloaded
        )
        self._any = Room(MOST_BODIES)
        self._large = Room(MOST_LARGE, LARGE_PATIENCE)
        self._kept = Kept(MOST_KEPT)

    def init_app(self, app: Flask) -> None:
        """Give every route of *app* the body of its request."""
        app.extensions[BODIES] = self
        app.teardown_request(lambda _: self.release(request.environ))

    @property
    def stuck(self) -> int:
        """Return how many readers still wait for a client that was answered long ago."""
        return self._deadline.left

    def take(self, environ: Environ) -> bytes:
        """
        Return the body of a request; call `release` when the request was answered.

        It is read once: the fast path and Flask get the same, and the same error.

        Raises:
            ApiError: `bad_request`: it is too large, or not as long as was said; `request_timeout`.
            Overloaded: Too many are read, or worked on.
        """
        if _TAKEN not in environ:
            try:
                environ[_TAKEN] = self._take(environ)
            except (ApiError, Overloaded) as error:
                environ[_TAKEN] = error
        taken: bytes | Exception = environ[_TAKEN]
        if isinstance(taken, Exception):
            raise taken
        return taken

    def release(self, environ: Environ) -> None:
        """Forget the body of a request, and give its places back."""
        environ.pop(_TAKEN, None)
        for place in environ.pop(_PLACES, ()):
            place.leave()

    def _take(self, environ: Environ) -> bytes:
        length = _length(environ)
        if length == 0:
            return b""
        self._any.enter()
        reading = _Reading(environ["wsgi.input"], length, self._kept)
        places: list[Room | _Reading] = [self._any, reading]
        environ[_PLACES] = places
        try:
            body = self._deadline.call(reading.read)
        except RequestTimeout as late:
            late.ended = reading.ended
            raise
        if body is None:
            raise ApiError(
                "bad_request", f"the body is larger than {MOST_BYTES} bytes; send fewer keys"
            )
        if length is not None and len(body) != length:
            raise ApiError("bad_request", f"the body ends after {len(body)} of {length} bytes")
        if len(body) > LARGE:
            self._large.enter()
            places.append(self._large)
        return body


class Kept:
    """The bytes of all bodies that are in memory; thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self.lock = threading.Lock()

    def add(self, count: int) -> None:
        """
        Count bytes, of which there may be fewer again; call it under the lock.

        Raises:
            Overloaded: There are too many.
        """
        if count > 0 and self._bytes + count > self._most:
            raise Overloaded
        self._bytes += count


class _Reading:
    """A body that is read on a thread for which, in the end, nobody may wait any more."""

    def __init__(self, stream: Any, length: int | None, kept: Kept) -> None:
        self._stream = stream
        self._length = length
        self._kept = kept
        self._pieces: list[bytes] = []
        self._counted = 0
        self._is_wanted = True
        self._is_refused = False
        self.ended = threading.Event()

    def read(self) -> bytes | None:
        """
        Return the body; None if it is too large.

        That, and one for which there is no room, is read too, as far as a client can be expected to
        send: one that is still sending would see a broken connection in place of the answer.

        Raises:
            Overloaded: There was no room.
        """
        try:
            return self._read()
        finally:
            self.ended.set()

    def _read(self) -> bytes | None:
        read = 0
        while self._is_wanted and read < 4 * MOST_BYTES:
            rest = _PIECE if self._length is None else min(_PIECE, self._length - read)
            # Not more than it has, for which a server may wait for ever.
            piece = self._stream.read(rest) if rest else b""
            if not piece:
                break
            read += len(piece)
            if read <= MOST_BYTES:
                self._keep(piece)
        if read > MOST_BYTES:
            return None
        if self._is_refused:
            raise Overloaded
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    def leave(self) -> None:
        """Forget what was read; what comes later is not kept."""
        with self._kept.lock:
            self._is_wanted = False
            self._forget()

    def _keep(self, piece: bytes) -> None:
        with self._kept.lock:
            if not self._is_wanted or self._is_refused:
                return
            try:
                self._kept.add(len(piece))
            except Overloaded:
                self._is_refused = True
                self._forget()
                return
            self._counted += len(piece)
            self._pieces.append(piece)

    def _forget(self) -> None:
        self._kept.add(-self._counted)
        self._counted = 0
        self._pieces = []


def _length(head: Environ) -> int | None:
    """Return the length that a request says its body has; None for one that comes in chunks."""
    said = head.get("CONTENT_LENGTH", "")
    if "HTTP_TRANSFER_ENCODING" in head:
        if said:
            raise ApiError("bad_request", "Content-Length beside Transfer-Encoding; send one")
        return None
    if not said:
        return 0
    if not (said.isascii() and said.isdecimal()):
        raise ApiError("bad_request", "Content-Length is not a number")
    return int(said)
