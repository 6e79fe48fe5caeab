"""
Responsible for how long and how many at one time, so that a thread is free for all other requests.

A request waits for its client, or for a store, only so long, and only so many wait at one time;
whoever comes after that is told so at once. Does not know what is waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from serve.errors import Overloaded

# Requests with a body, from its first byte to the answer.
MOST_BODIES = 32
# Bodies, those included whose clients neither ended nor went away after the answer that they are
# too slow; see `serve.sockets`.
MOST_READERS = 128
# Requests that wait for the offline store, batches not included: they have a body.
MOST_OFFLINE = 24

T = TypeVar("T")


class Deadline:
    """
    Bounds the time of calls that have no timeout of their own; thread-safe.

    A call that overruns is left behind on its thread, because nothing can stop it; so that a store
    that hangs for hours cannot pile up threads, only so many may be left at one time.

    Args:
        seconds: Time one call may take.
        most: Calls that may run at one time, those left behind included.
        overrun: Makes the error of a call that takes too long, from its description.
        crowded: Makes the error of a call for which there was no room.
        patience: Time [s] a call waits for room.
    """

    def __init__(
        self,
        seconds: float,
        *,
        most: int,
        overrun: Callable[[str], Exception],
        crowded: Callable[[], Exception],
        patience: float = 0.0,
    ) -> None:
        self._seconds = seconds
        self._slots = threading.BoundedSemaphore(most)
        self._overrun = overrun
        self._crowded = crowded
        self._patience = patience
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        # One entry for each thread that waits for a task; append and pop of a list are atomic.
        self._idle: list[None] = []
        self._left: set[Future[Any]] = set()

    @property
    def left(self) -> int:
        """Return how many calls were left behind and still run."""
        self._left = {future for future in list(self._left) if not future.done()}
        return len(self._left)

    def call(self, work: Callable[[], T]) -> T:
        """
        Do *work* on another thread and wait for it.

        Raises:
            Exception: That of *overrun* or *crowded*, or whatever *work* raised.
        """
        if not self._slots.acquire(timeout=self._patience):
            raise self._crowded()
        future: Future[T] = Future()
        try:
            self._idle.pop()
        except IndexError:
            # A daemon: a call left behind must not keep the process from ending.
            threading.Thread(target=self._work, daemon=True).start()
        self._tasks.put((future, work))
        try:
            return future.result(self._seconds)
        except TimeoutError:
            if future.done():  # the error is that of the work, or it ended just now
                return future.result()
        self._left.add(future)
        raise self._overrun(f"no answer within {self._seconds:g} s")

    def _work(self) -> None:
        while True:
            future, work = self._tasks.get()
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
                future.set_exception(error)
            # What it refers to may be large, and the next task may be long in coming.
            del future, work
            self._idle.append(None)
            self._slots.release()


class Room:
    """
    A number of places, each taken by one request at a time; thread-safe.

    Args:
        most: The number of places.
        patience: Time [s] that a request waits for one.
    """

    def __init__(self, most: int, patience: float = 0.0) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._patience = patience

    def enter(self) -> None:
        """
        Take a place; `leave` gives it back.

        Raises:
            Overloaded: None became free in time.
        """
        if not self._places.acquire(timeout=self._patience):
            raise Overloaded

    def leave(self) -> None:
        """Give a place back."""
        self._places.release()
