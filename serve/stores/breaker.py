"""
Responsible for sparing a store that is away.

A dead store must not take the whole server with it: after a failure it is left alone for a moment
in which every request is refused at once; then one request tries for all. Does not know what a
store is; how long a call may take is a matter of `serve.limits`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from materializer.errors import NotMaterialized, NotPublished, StoreUnavailable
from serve.errors import ApiError, Overloaded

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
        except Overloaded:
            failure = self._failure  # the store was not asked
            raise
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
