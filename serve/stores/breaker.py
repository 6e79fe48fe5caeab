"""
Responsible for how long a request waits for a store, and for sparing a store that is away.

A dead store must not take the whole server with it: a call has a deadline, and after a failure the
store is left alone for a moment in which every request is refused at once; then one request tries
for all. Does not know what a store is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from materializer.errors import NotMaterialized, NotPublished, StoreUnavailable
from serve.errors import ApiError

# Time [s] after a failure in which a store is left alone.
PAUSE = 0.5

T = TypeVar("T")


class Breaker:
    """
    Refuses calls for a moment after one has failed; thread-safe.

    Args:
        pause: Time [s] after a failure in which calls are refused at once.
    """

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._lock = threading.Lock()
        self._failure: str | None = None
        self._refuse_until = 0.0
        self._trying = False

    def call(self, work: Callable[[], T]) -> T:
        """
        Do *work*, unless it failed a moment ago.

        Raises:
            ApiError: `store_unavailable`, with the message of the failure that is still fresh.
            StoreUnavailable: What *work* raised.
        """
        tries_for_all = self._failure is not None and self._admit()
        failure = None
        try:
            return work()
        except StoreUnavailable as error:
            if not isinstance(error, (NotMaterialized, NotPublished)):  # an empty store answers
                failure = str(error)
            raise
        finally:
            if tries_for_all or failure is not None or self._failure is not None:
                self._settle(failure, tried_for_all=tries_for_all)

    def _admit(self) -> bool:
        with self._lock:
            if self._failure is None:
                return False
            if self._trying or time.monotonic() < self._refuse_until:
                raise ApiError("store_unavailable", self._failure)
            self._trying = True
            return True

    def _settle(self, failure: str | None, *, tried_for_all: bool) -> None:
        with self._lock:
            self._failure = failure
            self._refuse_until = time.monotonic() + self._pause
            if tried_for_all:
                self._trying = False


class Deadline:
    """
    Bounds the time of calls that have no timeout of their own; thread-safe.

    A call that overruns is left behind on its thread, because nothing can stop it; so that a store
    that hangs for hours cannot pile up threads, only so many may be left at one time.

    Args:
        seconds: Time one call may take.
        most: Calls that may run at one time, those left behind included.
        failure: Makes the error of an overrun from its description.
    """

    def __init__(
        self, seconds: float, *, most: int, failure: Callable[[str], StoreUnavailable]
    ) -> None:
        self._seconds = seconds
        self._slots = threading.BoundedSemaphore(most)
        self._failure = failure

    def call(self, work: Callable[[], T]) -> T:
        """
        Do *work* on a thread of its own and wait for it.

        Raises:
            StoreUnavailable: It took too long, or no slot became free in that time.
            Exception: Whatever *work* raised.
        """
        if not self._slots.acquire(timeout=self._seconds):
            raise self._failure("too many lookups wait for it")
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  # carried over to the caller's thread
                future.set_exception(error)
            finally:
                self._slots.release()

        # A daemon: a lookup left behind must not keep the process from ending.
        threading.Thread(target=run, daemon=True).start()
        if not wait([future], self._seconds).done:
            raise self._failure(f"no answer within {self._seconds:g} s")
        return future.result()
