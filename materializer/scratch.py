"""
Temporary folders that a killed process does not leave for ever.

Responsible for making one, and for removing those of processes that ended without removing theirs.
A lock of the operating system, held as long as its process lives, tells the two apart: a process
id would not, as it may be used again, or be another's in another container. Does not touch folders
of other users, or without the lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_LOCK = ".lock"
# Where this process has looked already.
_looked: set[tuple[Path, str]] = set()


class ScratchFolder:
    """A temporary folder, removed at the end; a later one of the same prefix does it otherwise."""

    def __init__(self, prefix: str, parent: str | None = None) -> None:
        """Make a folder in *parent*, by default that of `TMPDIR`, and remove those of the dead."""
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        fresh = self.path / f"{_LOCK}-fresh"
        self._lock = os.open(fresh, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Under this name only when it is locked, so that nobody takes it for a dead one's.
        fresh.rename(self.path / _LOCK)
        if (self.path.parent, prefix) not in _looked:
            _looked.add((self.path.parent, prefix))
            remove_abandoned(self.path.parent, prefix)

    def cleanup(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.cleanup()


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the folders of this user whose processes are dead."""
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
