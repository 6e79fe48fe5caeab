"""
`materializer verify-training`: is a training set still what its receipt says?

Owns the verdict. It builds the set again from the snapshots that the receipt names; when the rows
come out the same it is identical, and else the first input that differs is named, in a fixed order.
Refuses to write, and needs neither the warehouse nor dbt.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import duckdb
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from materializer.config import Settings
from materializer.console import Console
from materializer.offline.catalog import RECEIPT, find_table, open_catalog, table_name
from materializer.training.files import sha256_of
from materializer.training.rebuild import Rebuild, rebuilding
from materializer.training.receipt import Receipt, read_receipt
from materializer.training.set_receipt import read_set_receipt
from materializer.training.verdict import Difference, gone, require_store, say_verdict
from materializer.training.verify_set import verify_training_set


def verify_training(settings: Settings, path: Path, console: Console) -> int:
    """
    Rebuild a training set from its receipt, and tell whether it is identical.

    Args:
        settings: Where the offline store is.
        path: The receipt.
        console: Told what happens, and the verdict.

    Returns:
        0 when it is identical, 1 when it differs.

    Raises:
        ReceiptUnreadable: There is no such receipt.
        UsageError: It is the receipt of another store, or its labels cannot be read.
        CannotRebuild: The SQL reads more than a receipt keeps.
        OfflineStoreUnavailable: The store cannot be read.
    """
    started = time.perf_counter()
    on_demand = read_set_receipt(path)
    if on_demand is not None:
        return verify_training_set(settings, path, *on_demand, console)
    receipt = read_receipt(path)
    catalog = open_catalog(settings)
    require_store(receipt.tag, receipt.origin["store_id"], catalog)
    difference = next(_differences(receipt, path, catalog, console), None)
    return say_verdict(
        path, receipt.tag, receipt.rows, len(receipt.sources), difference, started, console
    )


def _differences(
    receipt: Receipt, path: Path, catalog: Catalog, console: Console
) -> Iterator[Difference]:
    yield from _damages(receipt, catalog)
    tables = {}
    for source in receipt.sources:
        table = find_table(catalog, table_name(source.name))
        if table is None or table.snapshot_by_id(source.snapshot_id) is None:
            yield gone(source.name, source.snapshot_id)
        else:
            tables[source.name] = table
    with rebuilding(receipt) as rebuild:
        _load(rebuild, receipt, tables, console)
        if rebuild.run() != receipt.content:
            yield from _changes(rebuild, receipt)
    beside = path.with_name(receipt.parquet)
    if beside.is_file() and sha256_of(beside) != receipt.parquet_sha256:
        yield Difference(receipt.parquet, "the file beside the receipt is another one")


def _damages(receipt: Receipt, catalog: Catalog) -> Iterator[Difference]:
    """List the parts of a receipt that are not those that were published, in order."""
    name, snapshot_id = receipt.training_set, receipt.snapshot_id
    table = find_table(catalog, table_name(name))
    snapshot = None
    if table is not None and snapshot_id is not None:
        snapshot = table.snapshot_by_id(snapshot_id)
    if snapshot is None:
        yield gone(name, snapshot_id)
        return
    text = snapshot.summary and snapshot.summary.additional_properties.get(RECEIPT)
    if not text:
        yield Difference(name, f"snapshot {snapshot_id} is not one that was published")
        return
    published, found = json.loads(text), receipt.digests()
    for part in dict.fromkeys(chain(found, published)):
        if published.get(part) != found.get(part):
            yield Difference(part, "the receipt does not say what was published")


def _load(rebuild: Rebuild, receipt: Receipt, tables: dict[str, Table], console: Console) -> None:
    total = sum(int((s.content or "0").partition(":")[0]) for s in receipt.sources)
    done = 0

    def progress(rows: int) -> None:
        nonlocal done
        done += rows
        console.progress(f"read {receipt.tag}", done, total, "rows")

    for source in receipt.sources:
        rebuild.load(source, tables[source.name], progress)


def _changes(rebuild: Rebuild, receipt: Receipt) -> Iterator[Difference]:
    """Say why the rows came out otherwise: the first input that differs, or the engine."""
    built_with, now = receipt.origin["duckdb"], duckdb.__version__
    unknown = []
    for source in receipt.sources:
        if source.relation is None or source.content == rebuild.content_of(source):
            continue
        if source.content is None or (source.model is not None and built_with != now):
            unknown.append(source.name)
            continue
        yield Difference(
            source.name,
            f"the rows of its snapshot {source.snapshot_id} are not those it was built from",
        )
    engine = "" if built_with == now else f", by DuckDB {now} in place of {built_with}"
    if unknown:
        yield Difference(
            "output",
            f"other rows came out{engine}; the content of {', '.join(unknown)} cannot be compared",
        )
    yield Difference("output", f"every input is the same, and other rows came out{engine}")
