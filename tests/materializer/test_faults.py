"""Faults of disks and files: each command ends with one clear line, and says what to do."""

from __future__ import annotations

import resource
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.support.sets import USERS, SetStore, clicks
from tests.support.store import Done, Store, finish

FAULTS: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "other": lambda path: path.write_bytes(b"\0something else" * 99),
    "gone": Path.unlink,
}


def assert_one_line(done: Done, code: int, *texts: str) -> None:
    done.assert_code(code)
    assert done.err.count("\n") == 1, done.err
    assert "--debug shows where" not in done.err
    assert [text for text in texts if text not in done.err] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_metadata_names_the_table_and_the_way_out(tmp_path: Path, fault: str) -> None:
    store = SetStore(tmp_path)
    day = date(2024, 3, 1)
    store.publish(USERS, [clicks("u1", day, 3)])
    labels = store.labels([{"user_id": "u1", "as_of_ts": datetime(2024, 3, 5)}])
    data = store.home / "iceberg" / "data" / "feature_store"
    for table in ("users", "_spans_users"):
        for kind in ("*.metadata.json", "snap-*.avro", "*-m0.avro"):
            files = {path: path.read_bytes() for path in (data / table / "metadata").glob(kind)}
            for path in files:
                FAULTS[fault](path)
            done = store.make(labels, "users", "--force")
            # The spans of a group tell its snapshot, and a training set reads none of their rows.
            if done.code or table == "users":
                assert_one_line(done, 4, f"offline store feature_store.{table}")
            for path, content in files.items():
                path.write_bytes(content)
    store.make(labels, "users", "--force").assert_code(0)
    store.close()


def test_a_damaged_warehouse_is_named_and_hides_no_other_store(store: Store) -> None:
    store.do("publish").assert_code(0)
    warehouse = store.project.warehouse
    # The header is whole, so it opens.
    warehouse.write_bytes(warehouse.read_bytes()[: warehouse.stat().st_size // 2])

    done = store.do("publish").assert_code(4)
    status = store.do("status").assert_code(0)

    for line in done.err.splitlines():
        assert line.startswith(f"{warehouse} cannot be read: ") or "not published" in line
        assert "Traceback" not in line
    assert f"  built      {warehouse} cannot be read: " in status.out
    assert "  published  2024-03-30 " in status.out


def test_a_file_that_may_not_grow_is_one_line(published: Store, tmp_path: Path) -> None:
    labels = published.project.folder / "labels.csv"
    labels.write_text("user_id,as_of_ts\nann,2024-03-05T12:00:00Z\n")
    arguments = ("--labels", str(labels), "--groups", "features_daily", "--out")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    process = published.start(
        "training-set", *arguments, str(tmp_path / "t.parquet"), preexec_fn=limit
    )

    assert_one_line(finish(process), 4, '.tmp": File too large; raise the limit on the size')
    assert list(tmp_path.iterdir()) == []
