"""A build opens only the files that can hold its days; what it makes is what all of them say."""

import os
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.support import oracle
from tests.support.dbt import Project, Run

FIRST, LAST = date(2024, 2, 1), date(2024, 3, 30)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]

Files = Mapping[str, Sequence[oracle.Event]]


def _history() -> list[oracle.Event]:
    draw = random.Random(3)
    begin = datetime(2024, 2, 1)
    return [
        (
            f"user{draw.randrange(6)}",
            draw.choice("xyz"),
            begin + timedelta(seconds=draw.randrange(86_400)) + timedelta(days=n),
        )
        for n in range(len(DAYS))
        for _ in range(2)
    ]


def _by_day(events: Sequence[oracle.Event]) -> dict[str, list[oracle.Event]]:
    files = defaultdict(list)
    for event in events:
        files[str(event[2].date())].append(event)
    return dict(files)


def _all(files: Files) -> list[oracle.Event]:
    return [event for events in files.values() for event in events]


def _write(folder: Path, files: Files, *, ts: str = "timestamp", age: int = 3600) -> None:
    """Write each file; let it look so many seconds old."""
    for name, events in files.items():
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = ", ".join(f"('{user}', '{kind}', '{at}'::{ts})" for user, kind, at, *_ in events)
        duckdb.execute(f"copy (from (values {rows}) as t(user_id, event_type, ts)) to '{path}'")
        then = time.time() - age
        os.utime(path, (then, then))


def _run(project: Project) -> Run:
    return project.dbt("run", "--select", "stg_events", "features_daily")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, writes_artifacts=False)
    project.write_labels([("user0", 1.0, "2024-03-01 12:00:00")])
    project.variables["events_path"] = "events/**/*.parquet"
    return project


def test_files_that_come_change_and_go_are_read_anew(project: Project) -> None:
    project.variables["healing_horizon_days"] = 10
    events, files = project.folder / "events", _by_day(_history())
    # Written twice within a tick of the clock of files; that is ahead, so the test may be slow.
    files["young"] = [("user0", "x", datetime(2024, 4, 20, 12))]
    _write(events, files)
    _write(events, {"young": files["young"]}, age=-600)
    young = events / "young.parquet"
    before = young.stat()
    _run(project).assert_done()
    assert project.features() == oracle.features(_history(), DAYS)

    files["young"] = [("user0", "x", datetime(2024, 3, 25, 12))]
    _write(events, {"young": files["young"]})
    os.utime(young, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert young.stat().st_size == before.st_size
    # A file of February gets an event of March, and a day goes.
    files["2024-02-03"] = [*files["2024-02-03"], ("user1", "late", datetime(2024, 3, 26, 12))]
    _write(events, {"2024-02-03": files["2024-02-03"]}, age=60)
    del files["2024-03-28"]
    (events / "2024-03-28.parquet").unlink()
    _run(project).assert_done()
    assert project.features() == oracle.features(_all(files), DAYS)

    # Events older than any before come later. The tests of the gate read every file.
    files["late"] = [("user2", "old", datetime(2023, 12, 25, 12))]
    _write(events, {"late": files["late"]})
    project.build().assert_done()
    days = [date(2023, 12, 25) + timedelta(days=n) for n in range(38)] + DAYS
    assert project.features() == oracle.features(_all(files), days)


def test_one_day_opens_neither_older_nor_newer_files(project: Project) -> None:
    project.variables["healing_horizon_days"] = 1
    project.now = "2024-03-25T00:00:00Z"
    events = project.folder / "events"
    _write(events, _by_day(_history()))
    _run(project).assert_done()
    project.now = "2024-03-26T00:00:00Z"
    # The first file tells the columns and when events begin.
    others = [*DAYS[1 : DAYS.index(date(2024, 2, 22))], *DAYS[DAYS.index(date(2024, 3, 27)) :]]
    for day in others:
        path = events / f"{day}.parquet"
        known = path.stat()
        path.write_bytes(b"?" * known.st_size)
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))

    _run(project).assert_done()

    assert project.features() == oracle.features(_history(), DAYS[: DAYS.index(date(2024, 3, 26))])

    os.utime(events / f"{others[0]}.parquet")
    run = _run(project)
    assert run.code == 1
    assert f"{others[0]}.parquet" in run.output


def test_times_whose_range_no_file_tells_are_all_read(project: Project) -> None:
    files = defaultdict(list)
    for event in _history():
        files[event[0]].append(event)
    _write(project.folder / "events", files, ts="varchar")

    _run(project).assert_done()

    assert project.features() == oracle.features(_history(), DAYS)


def test_a_time_that_a_path_gives_is_not_taken_from_the_file(project: Project) -> None:
    # What the file says of `ts` is half a year off; its path is what counts.
    events = project.folder / "events"
    for day in (DAYS[0], DAYS[20], DAYS[-1]):
        then = datetime.combine(day, datetime.min.time())
        _write(events, {f"ts={day}/part": [("user0", "x", then - timedelta(days=180))]})

    _run(project).assert_done()

    told = [
        ("user0", "x", datetime.combine(day, datetime.min.time()))
        for day in (DAYS[0], DAYS[20], DAYS[-1])
    ]
    assert project.features() == oracle.features(told, DAYS)
