"""Damaged data files: no reader gives a value from one, and a publish of its day repairs it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from materializer.errors import DamagedFile, LookupMiss, OfflineStoreUnavailable
from materializer.offline.catalog import spans_name, table_name
from materializer.offline.files import damage
from materializer.offline.lookup import OfflineReader
from materializer.offline.read import Parquet, data_files, read_files
from tests.materializer.offline_fixtures import (
    GROUP,
    day_of,
    expected_rows,
    midnight_after,
    publish,
    published_rows,
    row_of,
    store,
)

HISTORY = {day_of(n): {f"u{i}": 10 * n + i for i in range(40)} for n in range(2)}
LATE = midnight_after(day_of(9))


def file_of(catalog: Catalog, name: str = table_name(GROUP.name), number: int = 0) -> Path:
    files = sorted(file.file_path for file in data_files(catalog.load_table(name)))
    return Path(files[number].removeprefix("file://"))


def flips(path: Path, count: int, seed: int = 7) -> Iterator[None]:
    """Flip one bit of a file at a time, and put it back."""
    whole = path.read_bytes()
    choose = random.Random(seed)
    for _ in range(count):
        flipped = bytearray(whole)
        flipped[choose.randrange(len(whole))] ^= 1 << choose.randrange(8)
        path.write_bytes(flipped)
        yield
    path.write_bytes(whole)


@pytest.mark.parametrize("name", [table_name(GROUP.name), spans_name(GROUP.name)])
def test_no_reader_gives_a_value_from_a_file_with_a_flipped_bit(
    tmp_path: Path, catalog: Catalog, name: str
) -> None:
    publish(catalog, HISTORY)
    table = catalog.load_table(name)
    columns = table.schema().column_names
    path = file_of(catalog, name, -1)
    rows = read_files(table, data_files(table), columns).read_all()
    for _ in flips(path, 150):
        # A lookup reads some pages: each is right, or refused.
        try:
            found = OfflineReader(catalog).lookup(GROUP.name, ("u7",), LATE)
        except (OfflineStoreUnavailable, LookupMiss) as error:
            assert isinstance(error, DamagedFile)
            assert path.name in str(error)
        else:
            assert found == row_of("u7", day_of(1), 17)
        # A publish reads all rows, for the spans and the removal guard.
        try:
            assert read_files(table, data_files(table), columns).read_all() == rows
        except DamagedFile as error:
            assert path.name in str(error)
        # A push and a training set read it in DuckDB, which checks nothing.
        with pytest.raises(DamagedFile, match=path.name):
            Parquet(table, [], tmp_path).local(f"file://{path}")
        assert damage(table.io, f"file://{path}") is not None
    assert published_rows(catalog) == expected_rows(HISTORY)


@pytest.mark.parametrize("fault", ["flipped", "cut", "empty", "gone"])
@pytest.mark.parametrize("name", [table_name(GROUP.name), spans_name(GROUP.name)])
def test_a_publish_of_the_day_repairs_its_damaged_file_and_the_spans(
    catalog: Catalog, fault: str, name: str
) -> None:
    publish(catalog, HISTORY)
    path = file_of(catalog, name, -1)
    whole = path.read_bytes()
    match fault:
        case "flipped":
            path.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()

    publish(catalog, HISTORY, [day_of(1)], sequence=2, allow_removals=False)

    assert published_rows(catalog) == expected_rows(HISTORY)
    assert OfflineReader(catalog).lookup(GROUP.name, ("u7",), LATE) == row_of("u7", day_of(1), 17)
    for table in map(catalog.load_table, (table_name(GROUP.name), spans_name(GROUP.name))):
        assert [damage(table.io, file.file_path) for file in data_files(table)] in (
            [None],
            [None] * 2,
        )


def test_a_registry_entry_that_changed_on_disk_is_not_believed(tmp_path: Path) -> None:
    publish(store(tmp_path), HISTORY)
    for path in (tmp_path / "iceberg").rglob("_spans_*/metadata/*.metadata.json"):
        path.write_text(path.read_text().replace('\\"features\\"', '\\"featured\\"'))

    with pytest.raises(OfflineStoreUnavailable, match="the registry entry is not the one"):
        OfflineReader(store(tmp_path)).lookup(GROUP.name, ("u7",), LATE)
