"""What one warehouse published is replaced by another only when told."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.store import (
    USERS,
    Store,
    copy,
    expected,
    history,
    write_inputs,
)

MODELS = ("features_daily", "training_data")
FEWER = [event for event in history() if event[0] in USERS[1:]]
_DEV = """\
    dev:
      type: duckdb
      path: "{{ env_var('FEATURE_STORE_HOME', '.feature_store') }}/dev.duckdb"
      schema: feature_store
      settings: {TimeZone: UTC}
      plugins: [{module: materializer.warehouse_folder}]
"""


def _id(file: Path) -> str:
    with duckdb.connect(str(file), read_only=True) as connection:
        ((found,),) = connection.execute(
            "select warehouse_id from feature_store.warehouse"
        ).fetchall()
    return str(found)


def _published(store: Store) -> tuple[Any, ...]:
    files = sorted((store.home / "training").rglob("*"))
    return (
        store.offline(),
        store.table("training_data"),
        store.online(),
        {path: path.read_bytes() for path in files if path.is_file()},
    )


def _refusal(model: str, published: str, file: Path, own: str) -> str:
    return (
        f"{model}: not published: the published one is from warehouse {published}, and {file} "
        f"is warehouse {own}, of another target or built anew; publish from the other, give "
        "this one a FEATURE_STORE_HOME of its own, or replace what is published: --take-over\n"
    )


@pytest.fixture
def two_targets(store: Store) -> Store:
    """Give a store with a second target, both built, of other events."""
    project = store.project
    profiles = project.folder / "profiles.yml"
    text = profiles.read_text()
    profiles.unlink()
    profiles.write_text(text + _DEV)
    write_inputs(project, FEWER)
    project.parses = True
    project.build("--target", "dev").assert_done()
    project.dbt("parse").assert_done()
    return store


def test_another_target_publishes_over_a_target_only_when_told(two_targets: Store) -> None:
    store = two_targets
    prod, dev = store.project.warehouse, store.home / "dev.duckdb"
    store.do("run").assert_code(0)
    before = _published(store)
    store.project.dbt("parse", "--target", "dev").assert_done()

    done = store.do("run", "--target", "dev").assert_code(3)

    refused = [_refusal(model, _id(prod), dev, _id(dev)) for model in MODELS]
    assert done.err == "".join(refused)
    assert _published(store) == before
    shown = store.do("status", "--target", "dev").out
    line = f"published from another, {_id(prod)}; this is {_id(dev)}: see publish --take-over"
    assert shown.count(f"  warehouse  {line}\n") == 2
    status = store.do("status", "--target", "dev", "--json").document
    known = {"warehouse": _id(dev), "other_warehouse": _id(prod)}
    for document in (*status["groups"], *status["training_sets"]):
        assert known.items() <= document.items()

    # The users whom the other warehouse does not have are the removals of which the guard warns.
    store.do("run", "--target", "dev", "--take-over").assert_code(3)
    assert _published(store) == before
    store.do("run", "--target", "dev", "--take-over", "--allow-removals").assert_code(0)
    assert store.offline() == expected(FEWER)
    store.do("run", "--target", "dev").assert_code(0)

    store.project.dbt("parse").assert_done()
    assert store.do("publish").assert_code(3).err == "".join(
        _refusal(model, _id(dev), prod, _id(prod)) for model in MODELS
    )


def test_a_warehouse_that_was_built_anew_is_another(store: Store) -> None:
    store.do("run").assert_code(0)
    before = _published(store)
    old = _id(store.project.warehouse)
    for file in store.home.glob("warehouse.duckdb*"):
        file.unlink()
    write_inputs(store.project, history())
    store.project.build().assert_done()

    done = store.do("run").assert_code(3)

    new = _id(store.project.warehouse)
    assert done.err == "".join(_refusal(m, old, store.project.warehouse, new) for m in MODELS)
    assert _published(store) == before
    done = store.do("run", "--take-over").assert_code(0)
    assert "published features_daily: 360 rows" in done.out
    assert store.offline() == expected()


def test_two_homes_do_not_write_over_each_other_in_one_catalog(
    store: Store, tmp_path: Path
) -> None:
    theirs = Store(copy(store.project, tmp_path / "theirs"), store.redis_url)
    theirs.query("update feature_store.warehouse set warehouse_id = 'theirs'")
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    shared = {"TYPE": "sql", "URI": f"sqlite:///{catalog}/c.db", "WAREHOUSE": f"file://{catalog}"}
    # PyIceberg reads them when it is imported, so a process of its own has to.
    env = " ".join(f"PYICEBERG_CATALOG__SHARED__{name}={it}" for name, it in shared.items())
    store.shell(f"{env} materializer publish").assert_code(0)

    done = theirs.shell(f"{env} materializer publish").assert_code(3)

    own, file = _id(store.project.warehouse), theirs.project.warehouse
    assert done.err == "".join(_refusal(model, own, file, "theirs") for model in MODELS)


def test_files_of_another_warehouse_stay_also_where_the_catalog_has_none(store: Store) -> None:
    store.do("run").assert_code(0)
    shutil.rmtree(store.home / "iceberg")
    files = {
        path: path.read_bytes() for path in (store.home / "training").iterdir() if path.is_file()
    }
    old = _id(store.project.warehouse)
    store.query("update feature_store.warehouse set warehouse_id = 'another'")

    done = store.do("publish").assert_code(3)

    assert done.err == _refusal("training_data", old, store.project.warehouse, "another")
    assert all(path.read_bytes() == content for path, content in files.items())
