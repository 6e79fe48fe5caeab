"""
Which files a push reads, and in which order.

Responsible for what changed between two pushes, what time alone changed, and the order in which
each entity's newest row is met first. It works from Iceberg's manifests and their column bounds.
Does not open a data file: see `selection`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice

from materializer.offline.snapshot import GroupSnapshot, SnapshotFile


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
    came_or_went = set(snapshot.files) ^ set(base)
    early, late = min(since, now), max(since, now)
    became_available = {f for f in snapshot.files if early < late and f.may_hold(early, late)}
    return [file for file in came_or_went | became_available if file.may_hold(None, late)]


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
    runs = _touching(file for file in files if file.may_hold(after, until))
    for together in chain([1], (2**n for n in count())):
        wave = list(chain.from_iterable(islice(runs, together)))
        if not wave:
            return
        yield wave


def _touching(files: Iterable[SnapshotFile]) -> Iterator[list[SnapshotFile]]:
    """Yield the files whose ranges touch one another, newest first."""
    run: list[SnapshotFile] = []
    reach = math.inf
    for file in sorted(files, key=lambda file: (_last(file), file.path), reverse=True):
        if run and _last(file) < reach:
            yield run
            run, reach = [], math.inf
        run.append(file)
        reach = min(reach, -math.inf if file.first is None else file.first)
    if run:
        yield run


def _last(file: SnapshotFile) -> float:
    return math.inf if file.last is None else file.last
