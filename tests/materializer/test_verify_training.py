"""`materializer verify-training`: a published set is rebuilt, or what differs is named."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from materializer.days import DayRange
from materializer.offline.catalog import table_name
from materializer.offline.read import data_files
from materializer.offline.write import tag_snapshots
from materializer.registry import Column
from materializer.sql import open_engine
from materializer.training.join import JOIN_MEMORY
from materializer.training.receipt import Receipt, read_receipt
from materializer.training.verify import Rebuild
from tests.support import oracle
from tests.support.dbt import Project
from tests.support.store import (
    LABELS,
    MODEL,
    Done,
    Store,
    copy,
    history,
    kill,
    start_to_point,
    write_inputs,
)
from tests.support.store import newest as online_of

NAMES = ("labels", "features_daily", "training_data")
# An event of user1 that its label of the 20th sees, and a user who left long before the label.
LATE = [
    *history(),
    ("user1", "late", datetime(2024, 3, 19, 12)),
    ("gone", "x", datetime(2024, 2, 16, 12)),
]
MORE_LABELS: list[oracle.Label] = [*LABELS, ("gone", 1.0, datetime(2024, 3, 28, 7))]


@pytest.fixture(scope="module")
def once(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give a store that was published. Receipts may be changed on copies, nothing else."""
    store = Store(copy(built, tmp_path_factory.mktemp("once") / "store"), None)
    store.do("publish").assert_code(0)
    return store


@pytest.fixture(scope="module")
def changed(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give a store that was published, got a late event and a label, and was published again."""
    store = Store(copy(built, tmp_path_factory.mktemp("changed") / "store"), None)
    store.do("publish").assert_code(0)
    build_later(store)
    store.do("publish").assert_code(0)
    return store


def build_later(store: Store) -> None:
    write_inputs(store.project, LATE, MORE_LABELS)
    store.project.build().assert_done()


def verify(store: Store, receipt: Path) -> Done:
    return store.do("verify-training", str(receipt))


def assert_identical(store: Store, receipt: Path) -> None:
    assert ": identical, " in verify(store, receipt).assert_code(0).out


def assert_differs(store: Store, receipt: Path, what: str, why: str) -> None:
    done = verify(store, receipt).assert_code(1)
    tag = read_receipt(receipt).tag
    assert (done.out, done.err) == (f"{tag}: differs: {what}: {why}\n", "")


def write(receipt: Receipt, path: Path) -> Path:
    path.write_text(receipt.to_json())
    return path


def forge(store: Store, receipt: Receipt, path: Path) -> Path:
    """Write a receipt, sealed, and with the tags that a publish of just that would have left."""
    forged = receipt.sealed()
    with store.catalog() as catalog:
        tag_snapshots(catalog, forged.tag, forged.snapshots)
    return write(forged, path)


@pytest.fixture
def receipt(once: Store) -> Receipt:
    return read_receipt(once.receipt())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a changed receipt."""
    return tmp_path / "receipt.json"


def changed_by(receipt: Receipt, **changes: Any) -> Receipt:
    return receipt.model_copy(update=changes)


def with_input(receipt: Receipt, name: str, **changes: Any) -> Receipt:
    inputs = (t.model_copy(update=changes) if t.name == name else t for t in receipt.inputs)
    return changed_by(receipt, inputs=tuple(inputs))


# Identical


def test_what_was_published_is_built_again_and_is_identical(once: Store) -> None:
    tag = read_receipt(once.receipt()).tag

    for path in (once.receipt(), *once.kept_receipts()):
        done = verify(once, path).assert_code(0)
        said, _, seconds = done.out.rpartition(", ")
        assert said == f"{tag}: identical, 4 rows rebuilt from 2 snapshots"
        assert seconds.endswith(" s\n")
        assert done.err == ""


def test_the_verdict_is_one_json_document_for_machines(once: Store) -> None:
    document = once.do("verify-training", str(once.receipt()), "--json").assert_code(0).document

    assert document == {
        "receipt": str(once.receipt()),
        "tag": read_receipt(once.receipt()).tag,
        "rows": 4,
        "verdict": "identical",
        "differs": None,
        "why": None,
        "seconds": document["seconds"],
    }


def test_neither_dbt_nor_the_warehouse_nor_the_inputs_are_needed(store: Store) -> None:
    store.do("publish").assert_code(0)
    store.project.warehouse.unlink()
    shutil.rmtree(store.project.target)
    for path in store.project.folder.glob("*.csv"):
        path.unlink()

    assert_identical(store, store.receipt())


def test_every_input_has_the_checksum_of_the_receipt(changed: Store) -> None:
    # Otherwise an input that is the same would be named as the one that differs.
    for path in changed.kept_receipts():
        receipt = read_receipt(path)
        with changed.catalog() as catalog:
            tables = {name: catalog.load_table(table_name(name)) for name in receipt.snapshots}
            with open_engine(JOIN_MEMORY) as (connection, folder):
                rebuild = Rebuild(connection, folder, receipt, None)
                rebuild.load(tables)
                for source in receipt.inputs:
                    assert rebuild.input_checksum(source) == source.checksum


def test_a_time_given_as_text_is_utc_wherever_it_is_built_again(
    once: Store, receipt: Receipt, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_text = "timezone('UTC', cast(cast(as_of_ts as varchar) as timestamptz)) as as_of_ts"
    sql = f"select * replace ({as_text}) from ({receipt.sql})"
    forge(once, changed_by(receipt, sql=sql), path)

    monkeypatch.setenv("TZ", "America/New_York")

    assert ": identical, " in once.command("verify-training", str(path)).assert_code(0).out


def test_an_old_receipt_stays_identical_through_late_events_builds_and_publishes(
    changed: Store,
) -> None:
    old, new = changed.kept_receipts()

    assert read_receipt(old).checksum != read_receipt(new).checksum
    assert_identical(changed, old)
    assert_identical(changed, new)
    assert changed.receipt().read_bytes() == new.read_bytes()


# What differs


TAMPERED: dict[str, tuple[str, Callable[[Receipt], Receipt]]] = {
    "output": ("checksum", lambda r: changed_by(r, checksum="4:17")),
    "file": ("parquet_sha256", lambda r: changed_by(r, parquet_sha256="0")),
    "commit": ("git_sha", lambda r: changed_by(r, git_sha="0")),
    "var": ("vars", lambda r: changed_by(r, vars={"command": {}, "project": {}})),
    "sql": ("sql", lambda r: changed_by(r, sql=r.sql.replace("24 *", "48 *"))),
    "a comment in the sql": ("sql", lambda r: changed_by(r, sql=f"{r.sql}\n-- so what")),
    "labels' snapshot": ("labels", lambda r: with_input(r, "labels", snapshot_id=17)),
    "built days": (
        "built days of features_daily",
        lambda r: with_input(r, "features_daily", built_days=()),
    ),
    "group's checksum": (
        "features_daily",
        lambda r: with_input(r, "features_daily", checksum="360:17"),
    ),
    "one input more": ("tag", lambda r: changed_by(r, inputs=(r.inputs[0], *r.inputs))),
    "hash of a part": ("sql", lambda r: changed_by(r, parts={**r.parts, "sql": "0"})),
    "tag": ("tag", lambda r: changed_by(r, tag="training_data-2")),
}
NOT_THOSE = "the rows of its snapshot {} are not those it was built from"
NOT_WRITTEN = "the receipt does not say what was written"


@pytest.mark.parametrize("part", TAMPERED)
def test_of_a_receipt_that_was_changed_the_part_is_named(
    once: Store, receipt: Receipt, path: Path, part: str
) -> None:
    what, change = TAMPERED[part]

    assert_differs(once, write(change(receipt), path), what, NOT_WRITTEN)


def test_a_part_that_was_changed_together_with_its_hash_does_not_fit_the_tag(
    once: Store, receipt: Receipt, path: Path
) -> None:
    changed = changed_by(receipt, sql=f"{receipt.sql} ").sealed()

    assert_differs(once, write(changed_by(changed, tag=receipt.tag), path), "tag", NOT_WRITTEN)


def test_a_changed_receipt_with_the_tag_that_belongs_to_it_is_not_one_of_the_store(
    once: Store, receipt: Receipt, path: Path
) -> None:
    changed = changed_by(receipt, git_sha="0").sealed()

    why = f"its snapshot {changed.snapshot_id} has no tag {changed.tag}"
    assert_differs(once, write(changed, path), "training_data", why)


@pytest.mark.parametrize(
    ("name", "column"), [("labels", "label"), ("features_daily", "event_count_7d")]
)
def test_rows_that_were_changed_in_place_are_told_by_the_file(
    store: Store, name: str, column: str
) -> None:
    store.do("publish").assert_code(0)
    with store.catalog() as catalog:
        table = catalog.load_table(table_name(name))
        for file in data_files(table):
            path = file.file_path.removeprefix("file://")
            rows = pq.read_table(path)
            more = pc.add(rows.column(column), 1).cast(rows.schema.field(column).type)
            number = rows.schema.get_field_index(column)
            pq.write_table(rows.set_column(number, rows.schema.field(column), more), path)

    done = store.do("verify-training", str(store.receipt())).assert_code(4)

    assert f"/{name}/data/" in done.err
    assert "the file is damaged: its bytes are not those that were written" in done.err


@pytest.mark.parametrize("name", ["labels", "features_daily"])
def test_another_snapshot_of_an_input_is_told_by_the_input(
    changed: Store, path: Path, name: str
) -> None:
    old, new = (read_receipt(path) for path in changed.kept_receipts())
    theirs = new.snapshots[name]

    forge(changed, with_input(old, name, snapshot_id=theirs), path)

    assert_differs(changed, path, name, NOT_THOSE.format(theirs))


def test_the_days_that_were_built_go_into_the_rebuilt_rows(changed: Store, path: Path) -> None:
    # A closing row is true for as long as every day since was built.
    receipt, built = read_receipt(changed.receipt()), DayRange.from_text("2024-02-15 to 2024-03-20")
    other = with_input(receipt, "features_daily", built_days=(built,))

    forge(changed, other, path)

    assert_differs(changed, path, "output", "every input is the same, and other rows came out")


def test_another_version_of_duckdb_is_named_where_other_rows_came_out(
    once: Store, receipt: Receipt, tmp_path: Path
) -> None:
    older = changed_by(receipt, checksum="4:17", duckdb="1.0.0")
    hashed = with_input(older, "features_daily", checksum="360:17")
    now = receipt.duckdb
    said = f"other rows came out, by DuckDB {now} in place of 1.0.0"

    same = forge(once, older, tmp_path / "same.json")
    unknown = forge(once, hashed, tmp_path / "unknown.json")

    assert_differs(once, same, "output", f"every input is the same, and {said}")
    assert_differs(once, unknown, "output", f"{said}; the rows of features_daily are not compared")


def test_another_file_beside_the_receipt_is_told(store: Store) -> None:
    store.do("publish").assert_code(0)
    parquet = store.home / "training" / "training_data.parquet"
    pq.write_table(pq.read_table(parquet).slice(1), parquet)

    why = "the file next to the receipt is another one"
    assert_differs(store, store.receipt(), "training_data.parquet", why)
    # The set itself is what it was.
    assert_identical(store, store.kept_receipts()[0])


def test_sql_that_is_more_than_a_query_of_the_inputs_is_not_run(
    once: Store, receipt: Receipt, path: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("user_id\nann\n")
    for sql, why in [
        (
            'from "warehouse"."feature_store"."stg_events"',
            "Table with name stg_events does not exist!",
        ),
        (f"from '{secret}'", f'Cannot access file "{secret}"'),
        ("select 1; select 2", "it is more than one statement"),
        ("select 1); create table more as (select 1", "Parser Error"),
        ("", "it is empty"),
        (f"copy (select 1) to '{secret}'", "it is not a select"),
        (f"with a as (copy (select 1) to '{secret}') from a", "it does more than select"),
        ("with a as (delete from labels returning *) from a", "it does more than select"),
        ("from query('select 1')", "it calls the table function query"),
        ("from enable_logging()", "it calls the table function enable_logging"),
    ]:
        forge(once, changed_by(receipt, sql=sql), path)

        done = verify(once, path).assert_code(1)

        assert done.out == ""
        assert done.err.startswith(
            f"materializer: {read_receipt(path).tag} cannot be rebuilt: its SQL may read its "
            "labels, its feature groups and the built days, nothing else ("
        )
        assert why in done.err
        assert secret.read_text() == "user_id\nann\n"


def test_a_receipt_that_no_table_vouches_for_runs_nothing(
    once: Store, receipt: Receipt, path: Path, tmp_path: Path
) -> None:
    parquet = tmp_path / receipt.parquet
    parquet.write_bytes(once.receipt().with_name(receipt.parquet).read_bytes())
    before = parquet.read_bytes()
    copy = f"with a as (copy (select 1) to '{parquet}' (use_tmp_file false)) from a"
    nothing = changed_by(receipt, training_set=None, snapshot_id=None, inputs=(), sql=copy)

    for forged in (nothing.sealed(), changed_by(receipt, sql=copy).sealed()):
        done = verify(once, write(forged, path)).assert_code(1)

        assert ": differs: " in done.out
        assert parquet.read_bytes() == before


def test_text_of_a_receipt_is_never_a_statement_of_its_own(
    once: Store, receipt: Receipt, path: Path
) -> None:
    first, *others = receipt.columns
    end = "varchar) as varchar)) as varchar)))))) from work.rebuilt"
    sly = Column(first.name, f"{end}; create table more (a integer); --")
    forged = forge(once, changed_by(receipt, columns=(sly, *others)), path)

    assert "it is more than one statement" in verify(once, forged).assert_code(1).err


def test_a_rebuild_is_bounded_in_time(once: Store, receipt: Receipt, path: Path) -> None:
    endless = "select sum(a.range * b.range) from range(1000000000) a, range(1000000000) b"
    forged = forge(once, changed_by(receipt, sql=endless), path)

    done = once.do("verify-training", str(forged), "--time-limit", "0.5").assert_code(1)

    assert "was not rebuilt: it takes longer than 0.5 s; --time-limit" in done.err


# Expired snapshots


def expire(store: Store) -> dict[str, int]:
    """Expire every snapshot that is neither current nor tagged; tell how many went."""
    went = {}
    with store.catalog() as catalog:
        for name in NAMES:
            table = catalog.load_table(table_name(name))
            before = len(table.metadata.snapshots)
            soon = datetime.now() + timedelta(days=1)
            table.maintenance.expire_snapshots().older_than(soon).commit()
            went[name] = before - len(table.metadata.snapshots)
    return went


def publish_group_anew(store: Store, max_age_hours: int) -> None:
    """Make one more snapshot of the group: its entry in the registry changed, its rows did not."""
    store.declare(MODEL, "feature_group", max_age_hours=max_age_hours)
    store.do("run").assert_code(0)


def test_receipts_stay_identical_after_every_other_snapshot_expired(store: Store) -> None:
    store.do("run").assert_code(0)
    publish_group_anew(store, 98)
    build_later(store)
    store.do("publish").assert_code(0)

    assert expire(store) == {"labels": 0, "features_daily": 1, "training_data": 0}

    old, new = store.kept_receipts()
    assert_identical(store, old)
    assert_identical(store, new)
    # Publish and push go on over the gap.
    publish_group_anew(store, 99)
    assert store.online() == online_of(store.offline())


def test_a_snapshot_that_expired_is_named(store: Store) -> None:
    store.do("publish").assert_code(0)
    build_later(store)
    store.do("publish").assert_code(0)
    old, new = store.kept_receipts()
    receipt = read_receipt(old)
    went = receipt.snapshots
    # The set is looked at first, and of the inputs the labels.
    for name in ("features_daily", "labels", "training_data"):
        with store.catalog() as catalog:
            table = catalog.load_table(table_name(name))
            with table.manage_snapshots() as change:
                change.remove_tag(receipt.tag)
            table.maintenance.expire_snapshots().by_id(went[name]).commit()

        assert_differs(store, old, name, f"its snapshot {went[name]} is gone")
    assert_identical(store, new)


# Kills


@pytest.mark.parametrize("point", ["tagging", "receipt", "files"])
def test_a_publish_killed_between_tags_and_receipt_leaves_no_receipt_that_lies(
    store: Store, point: str
) -> None:
    child = ("-m", "tests.materializer.publish_child", point, str(store.project.folder))
    kill(start_to_point(*child, env=store.env))
    assert not store.receipt().exists()

    store.do("publish").assert_code(0)

    assert_identical(store, store.receipt())
    for path in store.kept_receipts():
        assert_identical(store, path)


# Receipts that cannot be used


def _with(**fields: object) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **fields})


def test_a_receipt_of_another_store_is_told(once: Store, receipt: Receipt, store: Store) -> None:
    told = f"materializer: {receipt.tag} was published in store {receipt.store_id}, and this is "
    hint = "; set FEATURE_STORE_HOME, or the catalog\n"

    empty = verify(store, once.receipt()).assert_code(2)
    store.do("publish").assert_code(0)
    other = verify(store, once.receipt()).assert_code(2)

    ours = read_receipt(store.receipt()).store_id
    assert (empty.out, empty.err) == ("", f"{told}an empty one{hint}")
    assert (other.out, other.err) == ("", f"{told}store {ours}{hint}")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _: None, "there is no such file"),
        (lambda _: "{", "it is not a receipt (Invalid JSON: "),
        (lambda _: "[]", "it is not a receipt (Input should be an object"),
        (lambda _: '{"training_set": "a"}', "it is not a receipt (rows: Field required)"),
        (_with(note="mine"), "it is not a receipt (note: Extra inputs are not permitted)"),
        (_with(checksum="many"), "it is not a receipt (checksum: String should match pattern"),
        (_with(parquet="../labels.csv"), "it is not a receipt (parquet: String should match"),
        (_with(rows=5), "it contradicts itself: rows and checksum count differently"),
        (
            lambda text: text.replace('"2024-02-15 to', '"yesterday to'),
            "it is not a receipt (inputs: 1: built_days: 0: Value error",
        ),
    ],
)
def test_a_file_that_is_not_a_receipt_ends_with_2(
    once: Store, path: Path, change: Callable[[str], str | None], why: str
) -> None:
    text = change(once.receipt().read_text())
    if text is not None:
        path.write_text(text)

    done = verify(once, path).assert_code(2)

    assert done.err.startswith(f"materializer: receipt {path} cannot be read: {why}")
    assert done.err.count("\n") == 1


def test_a_receipt_may_be_formatted_anew(once: Store, path: Path) -> None:
    path.write_text(json.dumps(json.loads(once.receipt().read_text()), sort_keys=True))

    assert_identical(once, path)


def test_a_store_that_cannot_be_read_ends_with_4(store: Store) -> None:
    store.do("publish").assert_code(0)
    with store.catalog() as catalog:
        (file,) = data_files(catalog.load_table(table_name("labels")))
    Path(file.file_path.removeprefix("file://")).unlink()

    done = verify(store, store.receipt()).assert_code(4)

    assert done.err.startswith("materializer: offline store feature_store.labels is unavailable: ")
    assert done.err.count("\n") == 1
