"""
Responsible for a log that stays readable when the same thing goes wrong with every request.

Of lines that are the same, one is written each `PAUSE` seconds, with the number of those that were
not. Does not decide what is logged.
"""

from __future__ import annotations

import logging
import threading
import time

# Time [s] between two lines that are the same, and how many different ones are remembered.
PAUSE = 10.0
_MOST = 1000


class Repeats(logging.Filter):
    """Holds lines back that were written a moment ago; thread-safe."""

    def __init__(self, pause: float = PAUSE) -> None:
        super().__init__()
        self._pause = pause
        self._lock = threading.Lock()
        # By what a line says: when it was written, and how often it was held back since.
        self._written: dict[object, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is to be written; note in it how many were not."""
        error = record.exc_info[1] if record.exc_info else None
        line = (record.name, record.getMessage(), type(error), str(error))
        now = time.monotonic()
        with self._lock:
            at, held = self._written.get(line, (float("-inf"), 0))
            if now - at < self._pause:
                self._written[line] = at, held + 1
                return False
            if len(self._written) >= _MOST:
                self._written.clear()
            self._written[line] = now, 0
        if held:
            record.msg = f"{record.getMessage()} (and {held} times since the last such line)"
            record.args = ()
        return True


def limit_repeats() -> None:
    """Limit what is written to standard error: our lines, those of libraries and of Granian."""
    repeats = Repeats()
    for handler in (logging.lastResort, *logging.getLogger("_granian").handlers):
        if handler is not None and not any(isinstance(one, Repeats) for one in handler.filters):
            handler.addFilter(repeats)
