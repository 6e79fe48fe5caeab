"""Publishing a training set: which builds get a receipt, what it keeps, and what checksums are."""

import hashlib
import json
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
import yaml

from materializer.offline.catalog import table_name
from materializer.registry import Column
from materializer.training.receipt import read_receipt
from materializer.warehouse.checksum import (
    checksum_of_rows,
    ledger_checksum,
    md5_checksum,
    sum_checksums,
)
from tests.support.store import GIVEN, Store

NAMES = ("labels", "features_daily", "training_data")


def test_every_snapshot_that_a_receipt_names_is_tagged_with_its_build(store: Store) -> None:
    store.do("publish").assert_code(0)

    receipt = read_receipt(store.receipt())
    with store.catalog() as catalog:
        tagged = {
            name: catalog.load_table(table_name(name)).metadata.refs[receipt.tag].snapshot_id
            for name in NAMES
        }
    assert tagged == receipt.snapshots


def test_a_build_that_is_published_twice_gets_two_receipts(store: Store) -> None:
    store.do("publish").assert_code(0)
    first = store.receipt().read_bytes()
    (store.home / "training" / "training_data.parquet").unlink()

    store.do("publish").assert_code(0)

    assert {path.read_bytes() for path in store.kept_receipts()} == {
        first,
        store.receipt().read_bytes(),
    }
    one, two = map(read_receipt, store.kept_receipts())
    assert one.checksum == two.checksum
    assert one.snapshot_id != two.snapshot_id


def test_a_kept_receipt_is_never_written_over(store: Store) -> None:
    store.do("publish").assert_code(0)
    before = {path: path.read_bytes() for path in store.kept_receipts()}
    with store.catalog() as catalog:
        # As the page on operations tells it for a new contract.
        for name in (*NAMES, "_spans_features_daily"):
            catalog.drop_table(table_name(name))

    store.do("publish").assert_code(0)

    assert len(store.kept_receipts()) == 2
    assert {path: path.read_bytes() for path in before} == before


def test_a_set_that_is_older_than_its_features_is_not_published(store: Store) -> None:
    store.project.build(
        "--select", "features_daily", start_date="2024-03-01", end_date="2024-03-02"
    )

    done = store.do("publish").assert_code(3)

    assert done.err == (
        "training_data: not published: it was built before features_daily was last built; "
        f"run: dbt build --select training_data {GIVEN}\n"
    )
    assert not store.receipt().exists()
    assert store.table("labels") == []

    store.project.build("--select", "training_data").assert_done()
    store.do("publish").assert_code(0)
    assert store.receipt().exists()


def test_a_set_that_is_published_stays_up_to_date_when_its_features_are_built_again(
    store: Store,
) -> None:
    store.do("publish").assert_code(0)
    before = store.receipt().read_bytes()
    store.project.build(
        "--select", "features_daily", start_date="2024-03-01", end_date="2024-03-02"
    )

    done = store.do("publish").assert_code(0)

    assert done.out.endswith("published training_data: up to date\n")
    assert store.receipt().read_bytes() == before


def test_a_build_that_left_no_sql_is_not_published(store: Store) -> None:
    store.query("delete from feature_store.built_sql")

    done = store.do("publish").assert_code(3)

    assert done.err == (
        "training_data: not published: its build left no SQL to keep; "
        f"run: dbt build --select training_data {GIVEN}\n"
    )


def test_the_vars_of_the_command_and_of_the_project_are_kept_and_no_secret(store: Store) -> None:
    project = store.project.folder / "dbt_project.yml"
    text = project.read_text()
    project.unlink()
    project.write_text(text.replace("vars:\n", "vars:\n  since: 2024-01-01\n  it's: ['a', null]\n"))
    store.project.build(
        "--select", "training_data", DBT_ENV_SECRET_KEY="hush", team={"names": ["ann", 7]}
    ).assert_done()

    store.do("publish").assert_code(0)

    assert json.loads(store.receipt().read_text())["vars"] == {
        "command": {
            "events_path": "events.csv",
            "labels_path": "labels.csv",
            "team": {"names": ["ann", 7]},
        },
        "project": {**yaml.safe_load(text)["vars"], "since": "2024-01-01", "it's": ["a", None]},
        "inputs": {"events_path": "events.csv", "labels_path": "labels.csv"},
    }


# Checksums

ROWS = pa.table({"a": ["x", None, "x"], "b": pa.array([1, 2, 1], pa.int32())})
COLUMNS = [Column("a", "string"), Column("b", "int64")]
FORMS = [md5_checksum(COLUMNS), ledger_checksum(COLUMNS)]


def md5_sum(*texts: str) -> int:
    return sum(int.from_bytes(hashlib.md5(text.encode()).digest()[8:], "little") for text in texts)


def checksums(rows: pa.Table, form: str, *, by: str = "()") -> list[str]:
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        query = f'select {form} from "rows" group by {by}'
        return [str(found) for (found,) in connection.execute(query).fetchall()]


def test_the_checksum_of_rows_is_their_number_and_a_sum_of_md5() -> None:
    assert checksum_of_rows(ROWS, COLUMNS) == f"3:{md5_sum('1:x1:1', '-1:2', '1:x1:1')}"
    assert checksum_of_rows(ROWS.slice(0, 0), COLUMNS) == "0:0"


def test_the_text_of_a_value_is_that_of_its_published_type() -> None:
    rows = pa.table(
        {
            "double": [0.1],
            "boolean": [True],
            "date": [date(2024, 2, 29)],
            "timestamp": pa.array([datetime(2024, 2, 29, 1, 2, 3, 4)], pa.timestamp("us")),
            "decimal(6,2)": pa.array([Decimal("1.50")], pa.decimal128(6, 2)),
            "string": ["\N{EURO SIGN}:"],
        }
    )
    columns = [Column(name, name) for name in rows.column_names]
    text = "3:0.14:true10:2024-02-2926:2024-02-29 01:02:03.0000044:1.502:\N{EURO SIGN}:"

    assert checksum_of_rows(rows, columns) == f"1:{md5_sum(text)}"


@pytest.mark.parametrize("form", FORMS, ids=["md5", "ledger"])
@pytest.mark.parametrize(
    "other",
    [
        pa.table({"a": ["x", None], "b": [1, 2]}),
        pa.table({"a": ["-", "x", "x"], "b": [2, 1, 1]}),
        pa.table({"a": ["", "x", "x"], "b": [2, 1, 1]}),
        pa.table({"a": ["x", "x", "x"], "b": [1, 2, 1]}),
        pa.table({"a": ["x", None, None], "b": [1, 2, 2]}),
    ],
)
def test_other_rows_have_another_checksum(other: pa.Table, form: str) -> None:
    assert checksums(other, form) != checksums(ROWS, form)


@pytest.mark.parametrize("form", FORMS, ids=["md5", "ledger"])
def test_the_order_of_rows_and_the_width_of_integers_do_not_matter(form: str) -> None:
    other = pa.table({"a": [None, "x", "x"], "b": pa.array([2, 1, 1], pa.int64())})

    assert checksums(other, form) == checksums(ROWS, form)


@pytest.mark.parametrize("form", FORMS, ids=["md5", "ledger"])
def test_checksums_of_days_add_up_to_the_checksum_of_all(form: str) -> None:
    assert [sum_checksums(checksums(ROWS, form, by="b"))] == checksums(ROWS, form)
    assert sum_checksums([]) == "0:0"
