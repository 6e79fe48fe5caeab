"""`kill -9` of a run at any moment: readers see one whole state, and the next run completes."""

import random
import time
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.dbt import Project
from tests.support.store import (
    Store,
    copy,
    expected,
    history,
    kill,
    newest,
    wait_until,
    write_inputs,
)


def _kill_after(store: Store, seconds: float, line: str | None = None) -> None:
    """Start a run, and kill it some time after it took the lock, or after it said a line."""
    note = store.home / "run.json"
    note.unlink(missing_ok=True)
    process = store.start("run")
    if line is None:
        wait_until(lambda: note.exists() or process.poll() is not None)
    else:
        assert process.stdout is not None
        assert any(said.startswith(line) for said in process.stdout)
    time.sleep(seconds)
    kill(process)


def _assert_complete(store: Store) -> None:
    features = store.project.features()
    assert store.offline() == features
    assert store.online() == newest(features)
    training = pq.read_table(store.home / "training" / "training_data.parquet").to_pylist()
    rows = sorted(map(repr, (tuple(row.values()) for row in training)))
    assert rows == sorted(map(repr, store.project.training()))


def test_a_first_run_killed_at_random_moments_is_completed_by_the_next(
    sample: Project, redis_url: str, tmp_path: Path
) -> None:
    store = Store(copy(sample, tmp_path / "project"), redis_url)
    draw = random.Random(23)
    for line in (None, None, "published features_daily", "published training_data"):
        _kill_after(store, draw.random() * (0.1 if line else 0.8), line)
        assert store.offline() in ([], store.project.features())

    store.do("run").assert_code(0)

    _assert_complete(store)


def test_a_later_run_killed_at_random_moments_is_completed_by_the_next(
    small: Project, redis_url: str, tmp_path: Path
) -> None:
    store = Store(copy(small, tmp_path / "project"), redis_url)
    draw = random.Random(29)
    store.do("run").assert_code(0)
    changed = [*history(), ("user3", "late", datetime(2024, 3, 1, 12))]
    write_inputs(store.project, changed)
    store.project.build().assert_done()
    for _ in range(3):
        _kill_after(store, draw.random() * 0.6)
        assert store.offline() in (expected(), expected(changed))

    store.do("run").assert_code(0)

    _assert_complete(store)
    assert store.offline() == expected(changed)
