"""Which files a push reads, and in which order: from what the manifests say alone."""

from datetime import date
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializer.offline.snapshot import GroupSnapshot, SnapshotFile
from materializer.online.file_order import changed_files, waves

FOREVER = 2**63 - 1


def file(name: str, first: int | None, last: int | None) -> SnapshotFile:
    return SnapshotFile(path=name, rows=1, day=date(2024, 1, 1), first=first, last=last)


def names(found: Any) -> Any:
    return [sorted(f.path for f in wave) for wave in found]


def daily(count: int) -> list[SnapshotFile]:
    return [file(f"{n:02}", n, n) for n in range(count)]


def test_files_come_newest_first() -> None:
    assert names(waves(daily(3), None, FOREVER)) == [["02"], ["01"], ["00"]]


def test_a_long_history_takes_few_waves() -> None:
    sizes = [len(wave) for wave in waves(daily(365), None, FOREVER)]
    assert sizes == [1, 1, 2, 4, 8, 16, 32, 64, 128, 109]


def test_files_whose_times_touch_come_together() -> None:
    files = [file("a", 10, 20), file("b", 5, 12), file("c", 3, 5), file("d", 1, 2)]
    assert names(waves(files, None, FOREVER)) == [["a", "b", "c"], ["d"]]


def test_files_of_no_use_are_left_out() -> None:
    files = [file("future", 11, 12), file("now", 10, 11), file("old", 6, 9), file("gone", 1, 5)]
    assert names(waves(files, 5, 10)) == [["now"], ["old"]]


def test_a_file_without_bounds_comes_with_all() -> None:
    assert names(waves([*daily(2), file("x", None, None)], None, 5)) == [["00", "01", "x"]]


ranges = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)


@given(st.lists(ranges, max_size=30))
def test_no_later_wave_holds_anything_newer(spans: list[list[int]]) -> None:
    files = [file(f"{n:02}", first, last) for n, (first, last) in enumerate(spans)]
    order = list(waves(files, None, FOREVER))
    assert sorted(f.path for wave in order for f in wave) == [f.path for f in files]
    for newer, older in pairwise(order):
        assert min(cast("int", f.first) for f in newer) > max(cast("int", f.last) for f in older)


def source(*files: SnapshotFile) -> GroupSnapshot:
    # Only its files are looked at.
    nothing = cast("Any", None)
    snapshot = GroupSnapshot(nothing, nothing, nothing, 1)
    snapshot.__dict__["files"] = files
    return snapshot


A, B = file("a", 1, 1), file("b", 2, 2)


@pytest.mark.parametrize(
    ("now_there", "pushed", "since", "now", "found"),
    [
        ([A, B], [A, B], 5, 9, []),
        ([A, B], [A], 5, 9, ["b"]),
        ([B], [A, B], 5, 9, ["a"]),
        ([A, B], [A, B], 1, 2, ["b"]),
        ([A, B], [A, B], 1, 1, []),
        ([A, B], [A], 1, 1, []),
        ([file("x", None, None)], [file("x", None, None)], 1, 2, ["x"]),
        ([file("x", None, None)], [file("x", None, None)], 2, 2, []),
    ],
)
def test_files_that_came_went_or_ripened_are_looked_at(
    now_there: list[SnapshotFile],
    pushed: list[SnapshotFile],
    since: int,
    now: int,
    found: list[str],
) -> None:
    assert sorted(f.path for f in changed_files(source(*now_there), pushed, since, now)) == found
