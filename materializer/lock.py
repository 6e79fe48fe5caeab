"""
The run lock: one publish or push at a time in one home.

Responsible for the lock file and the note next to it that names the holder. The operating system
releases the lock when its holder dies, even by `kill -9`, so a stale note is never believed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from materializer.config import Settings, format_time
from materializer.errors import AnotherRun


@contextmanager
def run_lock(settings: Settings, command: str, *, wait: float = 0) -> Iterator[None]:
    """
    Hold the run lock of a home.

    *command* is named in the error of another run that finds the lock taken.

    Raises:
        AnotherRun: Another run still holds it after *wait* seconds.
    """
    # Imported here: it takes longer to import than `--help` takes to answer.
    from filelock import FileLock, Timeout

    settings.home.mkdir(parents=True, exist_ok=True)
    note = settings.home / "run.json"
    lock = FileLock(settings.home / "run.lock")
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise AnotherRun(*_holder(note)) from None
    # The real time, not `FEATURE_STORE_NOW`: people read it.
    since = format_time(Settings(settings.home).now())
    try:
        fresh = note.with_suffix(".tmp")
        fresh.write_text(json.dumps({"command": command, "pid": os.getpid(), "since": since}))
        fresh.replace(note)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> tuple[str, str]:
    try:
        body = json.loads(note.read_text())
        return f"{body['command']} (process {body['pid']})", body["since"]
    except (OSError, ValueError, KeyError):
        # The holder has not written its note yet.
        return "a run that just began", "now"
