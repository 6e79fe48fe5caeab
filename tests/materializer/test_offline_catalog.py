"""The catalog: where it is opened, what it refuses, and the store's id."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from materializer.config import Settings
from materializer.errors import OfflineStoreUnavailable, UsageError
from materializer.offline.catalog import (
    ensure_store,
    find_table,
    metadata_location,
    open_catalog,
    published_groups,
    store_id,
    table_name,
)
from tests.materializer.offline_fixtures import day_of, publish, store


def test_a_fresh_home_gets_its_folders_and_has_no_store_yet(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"

    catalog = store(home)

    assert store_id(catalog) is None
    assert published_groups(catalog) == ()
    assert sorted(p.name for p in (home / "iceberg").iterdir()) == ["catalog.db", "data"]


def test_the_store_id_is_made_once_and_stays(tmp_path: Path) -> None:
    made = ensure_store(store(tmp_path))

    assert ensure_store(store(tmp_path)) == made
    assert store_id(store(tmp_path)) == made


def test_two_stores_have_two_ids(tmp_path: Path) -> None:
    assert ensure_store(store(tmp_path / "one")) != ensure_store(store(tmp_path / "two"))


def test_a_namespace_that_another_tool_made_gets_an_id(tmp_path: Path) -> None:
    store(tmp_path).create_namespace("feature_store")

    assert ensure_store(store(tmp_path)) == store_id(store(tmp_path))


def test_a_home_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("not a folder")

    with pytest.raises(OfflineStoreUnavailable, match=r"home.*Not a directory"):
        store(home)


def test_a_catalog_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "iceberg").mkdir()
    (tmp_path / "iceberg" / "catalog.db").write_text("not a database" * 500)

    with pytest.raises(OfflineStoreUnavailable, match="file is not a database"):
        store(tmp_path)


def test_metadata_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    catalog = store(tmp_path)
    publish(catalog, {day_of(0): {"a": 1}})
    for file in tmp_path.rglob("*.metadata.json"):
        file.unlink()

    with pytest.raises(OfflineStoreUnavailable, match="local"):
        find_table(catalog, table_name("features_daily"))


@pytest.mark.parametrize("sign", ["#", "?"])
def test_a_home_no_file_uri_can_hold_is_refused_before_anything_is_written(
    tmp_path: Path, sign: str
) -> None:
    with pytest.raises(UsageError, match="FEATURE_STORE_HOME"):
        store(tmp_path / f"odd{sign}home")

    assert list(tmp_path.iterdir()) == []


def test_the_metadata_location_changes_with_each_commit(tmp_path: Path) -> None:
    catalog = store(tmp_path)
    name = table_name("features_daily")
    before = metadata_location(catalog, name)
    publish(catalog, {day_of(0): {"a": 1}})
    first = metadata_location(catalog, name)
    publish(catalog, {day_of(1): {"a": 1}}, sequence=2)

    assert before is None
    assert first is not None
    assert first != metadata_location(catalog, name) == catalog.load_table(name).metadata_location


def test_a_catalog_named_in_the_environment_takes_the_place_of_the_local_one(
    tmp_path: Path,
) -> None:
    # PyIceberg reads its environment when it is imported, so this needs a process of its own.
    script = """
from pathlib import Path
from materializer.config import Settings
from materializer.offline.catalog import metadata_location, open_catalog, ensure_store
catalog = open_catalog(Settings(Path("never-made").resolve()))
print(catalog.name, len(ensure_store(catalog)), metadata_location(catalog, "feature_store.x"))
"""
    environ = {
        **os.environ,
        "PYTHONPATH": str(Path.cwd()),
        "PYICEBERG_CATALOG__MY_LAKE__URI": f"sqlite:///{tmp_path}/lake.db",
        "PYICEBERG_CATALOG__MY_LAKE__WAREHOUSE": f"file://{tmp_path}/lake",
    }

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["my-lake", "36", "None"]
    assert not (tmp_path / "never-made").exists()


def test_several_catalogs_in_the_environment_are_refused(tmp_path: Path) -> None:
    environ = {"PYICEBERG_CATALOG__A__URI": "x", "PYICEBERG_CATALOG__B__URI": "y"}

    with pytest.raises(UsageError, match=r"\(a, b\)"):
        open_catalog(Settings(tmp_path), environ)


def test_a_catalog_that_cannot_be_loaded_is_unavailable(tmp_path: Path) -> None:
    environ = {"PYICEBERG_CATALOG__NOWHERE__TYPE": "sql"}

    with pytest.raises(OfflineStoreUnavailable, match="nowhere"):
        open_catalog(Settings(tmp_path), environ)


def test_a_catalog_that_only_the_file_of_pyiceberg_names_is_said_not_to_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".pyiceberg.yaml").write_text("catalog:\n  my-lake:\n    type: rest\n")
    monkeypatch.setenv("PYICEBERG_HOME", str(tmp_path))
    notes: list[str] = []

    assert open_catalog(Settings(tmp_path / "home"), {}, notes.append).name == "local"

    [note] = notes
    assert note.endswith(
        "/home/iceberg, and not catalog my-lake of .pyiceberg.yaml; to use that, set "
        "PYICEBERG_CATALOG__MY_LAKE__TYPE"
    )
