"""
Which files a push reads, and in which order.

Responsible for what changed between two pushes, what time alone changed, and the order in which
each entity's newest row is met first. It works from Iceberg's manifests and their column bounds.
Does not open a data file: see `selection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from materializer.offline.snapshot import GroupSnapshot, SnapshotFile

# The largest time an Iceberg timestamp can hold [microseconds since 1970].
FOREVER = 2**63 - 1


def changed_files(
    snapshot: GroupSnapshot, base: Sequence[SnapshotFile], since: int, now: int
) -> list[SnapshotFile]:
    """
    List the files whose entities may have another newest row than at the last push.

    Args:
        snapshot: What there is now.
        base: The files of the snapshot that was pushed last.
        since: The clock of that push [microseconds since 1970].
        now: The clock of this one, later or earlier.

    Returns:
        Files that came or went, and files with rows that came into use in between, the clock being
        all that changed. Files whose rows were and are in the future are left out.
    """
    came, went = set(snapshot.files) - set(base), set(base) - set(snapshot.files)
    early, late = min(since, now), max(since, now)
    became_available = {f for f in snapshot.files if early < late and f.may_hold(early, late)}
    return [file for file in came | went | became_available if file.may_hold(None, late)]


def waves(
    files: Iterable[SnapshotFile], after: int | None, until: int
) -> Iterator[list[SnapshotFile]]:
    """
    Order files so that an entity's row in one wave is newer than any in a later wave.

    Args:
        files: The files of one snapshot.
        after: Rows available up to then are of no use [microseconds since 1970], None for ever.
        until: Nor are rows available later than then [microseconds since 1970].

    Yields:
        Files whose ranges of `available_at` touch, newest first. After the first two waves several
        are put together, twice as many each time: the few entities left by then are cheap to look
        for, and a long history must not cost a query a day.
    """
    pending = sorted(
        (file for file in files if file.may_hold(after, until)),
        key=lambda file: (_last(file), file.path),
        reverse=True,
    )
    together = 1
    served = 0
    position = 0
    while position < len(pending):
        wave: list[SnapshotFile] = []
        for _ in range(together):
            position = _touching(pending, position, wave)
        yield wave
        served += 1
        together = 1 if served < 2 else together * 2


def _touching(pending: Sequence[SnapshotFile], position: int, wave: list[SnapshotFile]) -> int:
    """Add to *wave* the next files that touch one another; return where the rest begins."""
    if position == len(pending):
        return position
    reach = _first(pending[position])
    while position < len(pending) and _last(pending[position]) >= reach:
        reach = min(reach, _first(pending[position]))
        wave.append(pending[position])
        position += 1
    return position


def _first(file: SnapshotFile) -> float:
    return float("-inf") if file.first is None else file.first


def _last(file: SnapshotFile) -> float:
    return float("inf") if file.last is None else file.last
