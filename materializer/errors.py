"""
Every error a user can meet, and the exit code of a command that raises it.

Responsible for the wording: each error builds its one-line message from its arguments, and says
what to do. The exit code belongs to the base class: `UsageError`, `Refused`, `StoreUnavailable`,
`AnotherRun`, and 1 for all others. The command line prints the line, and with `--debug` the
traceback.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

DONE = 0
FAILED = 1
USAGE = 2
REFUSED = 3
UNAVAILABLE = 4
LOCKED = 5
# As shells report a process that was interrupted.
INTERRUPTED = 130

EXIT_CODES: dict[int, str] = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "usage: the call is wrong",
    REFUSED: "refused: the gate is red, or data would be removed or replaced",
    UNAVAILABLE: "a store is unavailable",
    LOCKED: "another run holds the lock",
}


class FeatureStoreError(Exception):
    """Base of every error of this project; `exit_code` ends the command that raised it."""

    exit_code: int = FAILED


class UsageError(FeatureStoreError):
    """The call is wrong: a missing file, an unknown name, a bad setting."""

    exit_code = USAGE


class UnknownGroup(UsageError):
    """No feature group of that name is in the registry."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no feature group {name!r}; known: {', '.join(known) or 'none'}")


class UnknownView(UsageError):
    """No feature view of that name is in the registry."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no feature view {name!r}; known: {', '.join(known) or 'none'}")


class LabelsUnusable(UsageError):
    """A file of labels, or a row in it, cannot be joined."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path.name}: {problem}")


class ReceiptUnreadable(UsageError):
    """A file is not a receipt of a training set."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"receipt {path} cannot be read: {problem}")


class CannotRebuild(FeatureStoreError):
    """The SQL of a training set reads more than its receipt names."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(
            f"{name} cannot be rebuilt: its SQL may read its labels, its feature groups and the "
            f"built days, nothing else ({detail})"
        )


class RebuildTooLarge(FeatureStoreError):
    """A rebuild takes longer, or more disk, than it may."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name} was not rebuilt: {detail}")


class BadRegistry(FeatureStoreError):
    """A model's meta or contract cannot make a feature group."""

    def __init__(self, *, file: str, model: str, key: str, problem: str) -> None:
        super().__init__(f"{file}: model {model}: {key}: {problem}")


class ContractMismatch(FeatureStoreError):
    """Rows do not have the columns and types of their contract."""

    def __init__(self, *, group: str, problem: str) -> None:
        super().__init__(f"{group}: {problem}")


class UnreadableValue(FeatureStoreError):
    """What is stored under an online key was not written by this store."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"an online value cannot be read: {problem}; write it again: materializer push --all"
        )


class OnlineWriteFailed(FeatureStoreError):
    """The online store rejected a write; the next push starts over."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(
            f"online store {address} rejected a write: {detail}; the push is incomplete, and the "
            "next one completes it"
        )


class Refused(FeatureStoreError):
    """The data may not be published; the stores keep their last good state."""

    exit_code = REFUSED


class GateRed(Refused):
    """A gate test that guards the model has no valid pass."""

    def __init__(self, *, model: str, reasons: Sequence[str]) -> None:
        super().__init__(f"{model}: not published: {'; '.join(reasons)}")


class RemovalsRefused(Refused):
    """A publish would remove a day, or more than the tolerated share of its entities."""

    def __init__(self, *, group: str, losses: Sequence[str]) -> None:
        super().__init__(
            f"{group}: not published: it would remove {'; '.join(losses)}. "
            "A truncated input looks just like this. If it is intended: --allow-removals"
        )
        self.losses = tuple(losses)


class OtherWarehouse(Refused):
    """What is published under a name comes from another warehouse."""

    def __init__(self, *, model: str, published: str, file: Path, own: str) -> None:
        super().__init__(
            f"{model}: not published: the published one is from warehouse {published}, and {file} "
            f"is warehouse {own}, of another target or built anew; publish from the other, give "
            "this one a FEATURE_STORE_HOME of its own, or replace what is published: --take-over"
        )


class TrainingSetRefused(Refused):
    """A training set made on demand is not what its labels and groups give."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"no training set was written: {problem}")


class PushRefused(Refused):
    """A push would move the online store backwards, or overwrite another store's rows."""


class StoreUnavailable(FeatureStoreError):
    """A store cannot be reached now; a later run may succeed."""

    exit_code = UNAVAILABLE


class WarehouseUnreadable(StoreUnavailable):
    """The DuckDB file that dbt writes is damaged, or may not be read."""

    def __init__(self, path: Path, error: Exception) -> None:
        todo = "restore it from a backup, or move it away and run: dbt build"
        super().__init__(f"{path} cannot be read: {explain(error, todo)}")


class OfflineStoreUnavailable(StoreUnavailable):
    """The Iceberg catalog or its files cannot be read."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(f"offline store {address} is unavailable: {detail}")


class DamagedFile(OfflineStoreUnavailable):
    """A published file is not what was written."""

    def __init__(self, location: str, problem: str) -> None:
        super().__init__(
            location,
            f"the file is damaged: {problem}; restore it from a backup, or rebuild and publish "
            "its day",
        )


class CommitFailed(OfflineStoreUnavailable):
    """A commit was refused, or its reply was lost: it may have landed, or may yet land."""

    def __init__(self, table: str, error: Exception) -> None:
        super().__init__(
            table,
            f"{explain(error)}; run the command again, which starts from what is there then",
        )


class OnlineStoreUnavailable(StoreUnavailable):
    """The Redis server cannot be reached, or cannot be used as it is."""

    def __init__(
        self, address: str, detail: str, advice: str = "; start it, or check REDIS_URL"
    ) -> None:
        super().__init__(f"online store {address} is unavailable: {detail}{advice}")


class NotPublished(StoreUnavailable):
    """The group is not in the offline store yet."""

    def __init__(self, group: str) -> None:
        super().__init__(f"{group} was never published; run: materializer publish")


class NotMaterialized(StoreUnavailable):
    """The group is not in the online store yet."""

    def __init__(self, group: str) -> None:
        super().__init__(f"{group} was never pushed; run: materializer push")


class RowOfAnother(NotMaterialized):
    """An online key of the group holds a row of another group, or of another store's."""

    def __init__(self, group: str, other: str, store_id: str | None) -> None:
        StoreUnavailable.__init__(
            self,
            f"{group}: the online store has a row of group {other} of store {store_id} in its "
            "place; run: materializer push, which says whose keys these are",
        )


class OtherDefinition(FeatureStoreError):
    """The rows of a group were built by other SQL than those that a reader knows."""

    def __init__(self, group: str) -> None:
        super().__init__(f"{group} has another definition now")


class LookupMiss(FeatureStoreError):
    """The stores answer, and have no usable row."""


class UnknownEntity(LookupMiss):
    """The group never had a row of that entity."""

    def __init__(self, group: str, key: Sequence[str]) -> None:
        super().__init__(f"{group}: no entity {_short(key)}")


class NotYetAvailable(LookupMiss):
    """The entity is known; its first row becomes available after the requested time."""

    def __init__(self, group: str, key: Sequence[str], as_of: str) -> None:
        super().__init__(f"{group}: {_short(key)} has no row that was available at {as_of}")


class Expired(LookupMiss):
    """The newest row does not hold any more, by the group's `fresh_hours` or `ttl_days`."""

    def __init__(self, group: str, key: Sequence[str], as_of: str) -> None:
        super().__init__(
            f"{group}: the newest row of {_short(key)} does not hold any more at {as_of}; see "
            "fresh_hours and ttl_days of the group"
        )


class DiskFailed(StoreUnavailable):
    """A file or folder cannot be read or written."""


# What the operating system says -> what to do. Libraries pass its text on, not always its number.
_REMEDIES = {
    "No space left on device": "free some space, also in TMPDIR, and run the command again",
    "No usable temporary directory": "set TMPDIR to a folder that can be written",
    "disk is full": "free some space, and run the command again",
    "Disk quota exceeded": "free some space, and run the command again",
    "File too large": "raise the limit on the size of a file: ulimit -f",
    "Too many open files": "raise the limit on open files: ulimit -n",
    "Permission denied": "give the user that runs this access to it",
    "Operation not permitted": "give the user that runs this access to it",
    "Read-only file system": "set FEATURE_STORE_HOME to a folder that can be written, or TMPDIR",
    "Input/output error": "check the disk",
    "File exists": "move it away",
    "Is a directory": "move it away",
    "Not a directory": "move it away",
}


# What libraries raise for a file that is cut or damaged. Pydantic's has this name too.
_DAMAGE = (LookupError, TypeError, AttributeError, UnicodeError, EOFError, zlib.error)
_VALIDATION = "ValidationError"
# DuckDB's errors of its writing threads have the message in JSON.
_INNER = re.compile(r'"exception_message":("(?:[^"\\]|\\.)*")')


def explain(error: BaseException, remedy: str = "") -> str:
    """Return in one line what an error of a library or of the system says, and what to do."""
    # SQLAlchemy's text has the statement and a link; the database's own message is enough.
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip() or type(cause).__name__
    line = text.split("\n", 1)[0]
    if inner := _INNER.search(line):
        line = json.loads(inner[1])
    if isinstance(cause, _DAMAGE) or type(cause).__name__ == _VALIDATION:
        # Their text alone, such as a key, says nothing.
        line = f"its metadata is damaged ({type(cause).__name__}: {line})"
        remedy = remedy or "restore it from a backup"
    todo = next((todo for said, todo in _REMEDIES.items() if said in text), remedy)
    return f"{line}; {todo}" if todo else line


def as_ours(error: Exception) -> FeatureStoreError:
    """Return the error of this project that stands for any error: the last rim before a user."""
    if isinstance(error, FeatureStoreError):
        return error
    text = explain(error)
    if isinstance(error, OSError) or text.endswith(tuple(_REMEDIES.values())):
        return DiskFailed(text)
    detail = " ".join(str(error).split())
    return FeatureStoreError(f"{type(error).__name__}: {detail} (--debug shows where)")


def _short(key: Sequence[str]) -> str:
    # A key may hold 10 kB; a message need not.
    text = ", ".join(key)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


class AnotherRun(FeatureStoreError):
    """Another run holds the run lock."""

    exit_code = LOCKED

    def __init__(self, holder: str, since: str) -> None:
        super().__init__(f"another run holds the lock: {holder}, since {since}")
