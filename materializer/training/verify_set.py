"""
Verifying a training set that was made on demand.

Owns the order in which its receipt, its snapshots, its labels and its rows are looked at. The query
of the receipt runs over the data files of its snapshots and the label file, and can reach nothing
else: it comes from a receipt, and a receipt may be a file that somebody sent. It is the plain
query, while the set was made in a faster way, so that each also proves the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import CannotRebuild, OfflineStoreUnavailable
from materializer.offline.catalog import find_table, open_catalog, table_name
from materializer.offline.read import Parquet, data_files
from materializer.offline.snapshot import schema_at
from materializer.sql import literal, quoted
from materializer.training.checks import content_sql
from materializer.training.files import sha256_of
from materializer.training.join import join_engine
from materializer.training.labels import open_labels
from materializer.training.point_in_time import LABELS
from materializer.training.set_receipt import Input, SetReceipt
from materializer.training.verdict import Difference, gone, require_store, say_verdict

_FORBIDDEN = (
    duckdb.CatalogException,
    duckdb.BinderException,
    duckdb.ParserException,
    duckdb.PermissionException,
)


def verify_training_set(
    settings: Settings, path: Path, tag: str, receipt: SetReceipt, console: Console
) -> int:
    """
    Make a training set again from its receipt, and tell whether it is identical.

    Args:
        settings: Where the offline store is.
        path: The receipt.
        tag: The name that it says it has.
        receipt: What it says.
        console: Told the verdict.

    Returns:
        0 when it is identical, 1 when it differs.

    Raises:
        UsageError: It is the receipt of another store.
        LabelsUnusable: The label file is gone, or cannot be read.
        CannotRebuild: The query reads more than a receipt names.
        OfflineStoreUnavailable: The store cannot be read.
    """
    started = time.perf_counter()
    catalog = open_catalog(settings)
    require_store(tag, receipt.origin["store_id"], catalog)
    difference = next(_differences(tag, receipt, path, catalog), None)
    snapshots = len(receipt.inputs)
    return say_verdict(path, tag, receipt.rows, snapshots, difference, started, console)


def _differences(
    tag: str, receipt: SetReceipt, path: Path, catalog: Catalog
) -> Iterator[Difference]:
    if tag != receipt.tag:
        yield Difference("receipt", "it does not say what was written")
    tables = {}
    for one in receipt.inputs:
        table = find_table(catalog, table_name(one.name))
        if table is None or table.snapshot_by_id(one.snapshot_id) is None:
            yield gone(one.name, one.snapshot_id)
            continue
        ref = table.metadata.refs.get(tag)
        if ref is None or ref.snapshot_id != one.snapshot_id:
            yield Difference(one.name, f"its snapshot {one.snapshot_id} has no tag {tag}")
        tables[one.name] = table
    labels = Path(receipt.labels)
    if labels.is_file() and sha256_of(labels) != receipt.labels_sha256:
        yield Difference("labels", f"{labels} is another file than the one that was joined")
    beside = path.with_name(receipt.parquet)
    intact = beside.is_file() and sha256_of(beside) == receipt.parquet_sha256
    yield from _changed_rows(receipt, tables, beside if intact else None)
    if beside.is_file() and not intact:
        yield Difference(receipt.parquet, "the file beside the receipt is another one")


def _changed_rows(
    receipt: SetReceipt, tables: dict[str, Table], written: Path | None
) -> Iterator[Difference]:
    """Run the query again, and compare with the file, or else with the content."""
    with join_engine() as (connection, folder):
        reached = [receipt.labels]
        labels = open_labels(connection, Path(receipt.labels))
        connection.execute(f"create view main.{LABELS} as select * from {labels.sql()}")
        for one in receipt.inputs:
            rows, paths = _rows(one, tables[one.name], folder / one.name)
            connection.execute(f"create view main.{quoted(one.name)} as select * from {rows}")
            reached += paths
        if written is not None:
            reached.append(str(written.resolve()))
        connection.execute(f"set allowed_paths = [{', '.join(map(literal, reached))}]")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        yield from _compare(connection, receipt, written)


def _rows(one: Input, table: Table, folder: Path) -> tuple[str, list[str]]:
    schema = schema_at(table, one.snapshot_id)
    parquet = Parquet(one.name, table, schema, one.columns, folder)
    files = [file.file_path for file in data_files(table, one.snapshot_id)]
    return parquet.sql(files), [parquet.local(file) for file in files]


def _compare(
    connection: duckdb.DuckDBPyConnection, receipt: SetReceipt, written: Path | None
) -> Iterator[Difference]:
    names = [quoted(name) for name in receipt.columns]
    try:
        # The query may end in a comment.
        connection.execute(f"create table work.again as (\n{receipt.sql}\n)")
        [(content,)] = connection.execute(f"select {content_sql(names)} from work.again").fetchall()
    except _FORBIDDEN as error:
        raise CannotRebuild(receipt.tag, str(error).split("\n", 1)[0]) from error
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise OfflineStoreUnavailable("data files", str(error).split("\n", 1)[0]) from error
    if content == receipt.content:
        return
    built_with, now = receipt.origin["duckdb"], duckdb.__version__
    if built_with == now:
        yield Difference("output", "every input is the same, and other rows came out")
    elif written is None:
        yield Difference(
            "output",
            f"DuckDB {now} cannot compare with the content that {built_with} told; put "
            f"{receipt.parquet} beside the receipt",
        )
    elif not _same_rows(connection, names, written):
        yield Difference("output", f"other rows came out, by DuckDB {now} in place of {built_with}")


def _same_rows(connection: duckdb.DuckDBPyConnection, names: list[str], written: Path) -> bool:
    columns = ", ".join(names)
    path = literal(str(written.resolve()))
    file = f"select {columns} from read_parquet({path}, hive_partitioning = false)"
    again = f"select {columns} from work.again"
    query = f"({file} except all {again}) union all ({again} except all {file}) limit 1"
    return not connection.execute(query).fetchall()
