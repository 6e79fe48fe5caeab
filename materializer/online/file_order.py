"""
Which files a push reads, and in which order.

Responsible for the files that changed between two pushes, or whose rows became available, and for
an order in which each entity's newest row comes first. It works from Iceberg's manifests and their
column bounds. Does not open a data file: see `selection`.
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

    They are the files that were added or removed since *base*, the files of that push, and those
    with rows that became available between *since* and *now* [microseconds since 1970]. Files whose
    rows are all still in the future are left out.
    """
    added_or_removed = set(snapshot.files) ^ set(base)
    became_available = {f for f in snapshot.files if since < now and f.may_hold(since, now)}
    return [file for file in added_or_removed | became_available if file.may_hold(None, now)]


def waves(
    files: Iterable[SnapshotFile], after: int | None, until: int
) -> Iterator[list[SnapshotFile]]:
    """
    Order files so that an entity's row in one wave is newer than any in a later wave.

    Files without rows available later than *after*, if any, and not after *until* are left out.

    Yields:
        Files whose ranges of `available_at` touch, newest first. From the third wave on several
        such runs are combined, twice as many each time: the few entities left by then are cheap to
        look for, and a long history must not cost a query a day.
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
