"""A publish killed anywhere: readers keep the old state, and the next publish completes the new."""

import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest

from materializer.offline.catalog import spans_name
from materializer.offline.lookup import OfflineReader
from materializer.offline.publish import last_published
from tests.materializer.offline_fixtures import (
    GROUP,
    NEW,
    OLD,
    History,
    day_of,
    expected_rows,
    midnight_after,
    publish,
    published_rows,
    row_of,
    store,
    update,
)
from tests.support.store import kill, start_to_point

AFTER = {**OLD, **NEW}


def start(home: Path, point: str) -> subprocess.Popen[str]:
    """Start a publish and wait until it reaches the point."""
    return start_to_point("-m", "tests.materializer.offline_child", str(home), point)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give the home of a store in which the old state is published."""
    publish(store(tmp_path / "home"), OLD)
    return tmp_path / "home"


def newest(home: Path, entity: str) -> dict[str, object]:
    late = midnight_after(day_of(9))
    return OfflineReader(store(home)).lookup(GROUP.name, (entity,), late)


def newest_of(history: History, entity: str) -> dict[str, object]:
    day = max(day for day, entities in history.items() if entity in entities)
    return row_of(entity, day, history[day][entity])


def spans(home: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (
        store(home).load_table(spans_name(GROUP.name)).scan().to_arrow().to_pylist()
    )
    return rows


def check_completed(home: Path, tmp_path: Path) -> None:
    """Compare with a store in which the same was published without a kill."""
    direct = tmp_path / "direct"
    publish(store(direct), OLD)
    publish(store(direct), NEW, sequence=2)
    assert published_rows(store(home)) == published_rows(store(direct)) == expected_rows(AFTER)
    assert spans(home) == spans(direct)
    assert [newest(home, f"u{n}") for n in range(6)] == [
        newest_of(AFTER, f"u{n}") for n in range(6)
    ]


def test_killed_while_writing_nothing_is_visible_and_the_next_publish_completes(
    home: Path, tmp_path: Path
) -> None:
    files = set(home.rglob("*.parquet"))

    kill(start(home, "writing"))

    assert set(home.rglob("*.parquet")) > files
    assert published_rows(store(home)) == expected_rows(OLD)
    assert newest(home, "u1") == newest_of(OLD, "u1")
    publish(store(home), NEW, sequence=2)
    check_completed(home, tmp_path)


def test_killed_before_the_spans_readers_keep_the_old_state_until_they_are_written(
    home: Path, tmp_path: Path
) -> None:

    kill(start(home, "between"))

    published = last_published(store(home), GROUP.name)
    assert published is not None
    assert (published.ledger_sequence, published.visible) == (2, False)
    assert [newest(home, f"u{n}") for n in range(4)] == [newest_of(OLD, f"u{n}") for n in range(4)]
    update(store(home))
    check_completed(home, tmp_path)


def test_a_publish_without_days_finishes_what_a_killed_one_left(home: Path, tmp_path: Path) -> None:
    kill(start(home, "between"))

    publish(store(home), {}, [], sequence=2)

    check_completed(home, tmp_path)


@pytest.mark.parametrize("point", ["writing", "between"])
def test_a_first_publish_that_was_killed_is_completed(tmp_path: Path, point: str) -> None:
    home = tmp_path / "home"

    kill(start(home, point))

    assert OfflineReader(store(home)).groups() == {}
    publish(store(home), NEW)
    assert published_rows(store(home)) == expected_rows(NEW)
    assert newest(home, "u0") == newest_of(NEW, "u0")


def test_killed_at_any_moment_every_reader_sees_all_or_nothing(home: Path, tmp_path: Path) -> None:
    for moment in (0, 0.05, 0.1, 0.15, 0.2, 0.3):
        child = start(home, "never")
        time.sleep(moment)
        kill(child)
        rows = published_rows(store(home))
        assert rows in (expected_rows(OLD), expected_rows(AFTER))
        state = [newest(home, f"u{n}") for n in range(4)]
        assert state in (
            [newest_of(OLD, f"u{n}") for n in range(4)],
            [newest_of(AFTER, f"u{n}") for n in range(4)],
        )
        publish(store(home), OLD, {*OLD, *NEW}, sequence=1)
        assert published_rows(store(home)) == expected_rows(OLD)
    publish(store(home), NEW, sequence=2)
    check_completed(home, tmp_path)


def test_the_new_state_differs_where_the_tests_look() -> None:
    assert newest_of(OLD, "u0") != newest_of(AFTER, "u0")
    assert max(NEW) - max(OLD) > timedelta(days=1)
