"""
Publishing a whole table that was built on others: a training set, or a feature view.

Owns the order in which its parts are written: the tables, the tags that keep their snapshots, then
the receipts and the file. So a receipt never names a snapshot that may expire. Refuses a table that
was built before its inputs were last built: its rows did not come from the rows that are published.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.errors import DONE, GateRed
from materializer.offline.catalog import (
    LEDGER_SEQUENCE,
    RECEIPT,
    WAREHOUSE_ID,
    ensure_store,
    find_table,
    table_name,
)
from materializer.offline.publish import publish_table
from materializer.offline.tags import tag_snapshots, unused_tag
from materializer.outcome import Outcome
from materializer.registry import Column, Registry
from materializer.training.files import TrainingFiles
from materializer.training.receipt import Receipt, Source
from materializer.warehouse.builds import Build, newest_build
from materializer.warehouse.checksum import checksum_of_rows
from materializer.warehouse.gate import require_green, require_whole_as_built
from materializer.warehouse.reader import Warehouse

# From the rows and the properties of the snapshot to the inputs as they are published.
Sources = Callable[[pa.Table, Mapping[str, str]], Sequence[Source]]


@dataclass(frozen=True, slots=True)
class Publishing:
    """
    What one publish works with.

    Attributes:
        registry: The project.
        warehouse: Where the rows are.
        catalog: The offline store.
        settings: Name the home, for the files, and the clock.
        console: Told what happens.
        project_dir: The project; its commit goes into the receipts.
        refused: Models that were just refused; what was built on one is refused too.
    """

    registry: Registry
    warehouse: Warehouse
    catalog: Catalog
    settings: Settings
    console: Console
    project_dir: Path
    refused: Collection[str]


@dataclass(frozen=True, slots=True)
class DerivedTable:
    """
    One table to publish.

    Attributes:
        name: Its model, and its table in the offline store.
        unique_id: dbt's id of the model.
        relation_name: Quoted relation in the warehouse.
        columns: Every column, in order.
        inputs: Name and dbt's id of each model it was built on.
        sources: Publishes what must be, and tells each input as it is published.
        facts: What else its receipt says.
        columns_may_change: Its columns follow the data, so its published table follows too.
    """

    name: str
    unique_id: str
    relation_name: str
    columns: tuple[Column, ...]
    inputs: Mapping[str, str]
    sources: Sources
    facts: Mapping[str, object] = field(default_factory=dict)
    columns_may_change: bool = False


def publish_derived_table(whole: DerivedTable, work: Publishing) -> Outcome:
    """
    Publish one table, if there is a newer build than the published one.

    Raises:
        GateRed: A gate test that guards it is not green, its rows are not those of the build, or
            an input was refused, or was built again since.
        OfflineStoreUnavailable: The store cannot be written.
    """
    started = time.perf_counter()
    name, warehouse, catalog, settings = whole.name, work.warehouse, work.catalog, work.settings
    require_green(name, whole.unique_id, work.registry, warehouse)
    require_whole_as_built(name, whole.unique_id, whole.relation_name, whole.columns, warehouse)
    held_back = [one for one in whole.inputs if one in work.refused]
    refuse(name, [f"it was built on {one}, which was not published" for one in held_back])
    build = newest_build(warehouse, work.registry, whole.unique_id)
    properties = {WAREHOUSE_ID: warehouse.warehouse_id(), LEDGER_SEQUENCE: str(build.sequence)}
    files = TrainingFiles(settings.home / "training", name)
    snapshot = _published(catalog, name, properties, warehouse.last_built_at(whole.unique_id))
    if snapshot and files.name_snapshot(snapshot, whole.facts):
        work.console.print(f"published {name}: up to date")
        return Outcome("publish", name, DONE, "up to date")
    refuse(name, _staleness(whole, build, warehouse))
    rows = warehouse.table(whole.relation_name, whole.columns)
    sources = tuple(whole.sources(rows, properties))
    receipt = Receipt(
        training_set=name,
        tag=unused_tag(
            catalog, name, f"{name}-{build.sequence}-{build.build_id[:8]}", files.tags()
        ),
        snapshot_id=None,
        columns=whole.columns,
        content=checksum_of_rows(rows, whole.columns),
        sources=sources,
        ledger=work.registry.records["build_ledger"],
        sql=build.sql or "",
        vars=build.vars,
        origin={**_origin(build, work), **whole.facts},
        parquet=files.parquet.name,
        parquet_sha256=files.write_rows(rows),
    )
    files.show(_commit(receipt, rows, catalog, properties, whole.columns_may_change))
    seconds = time.perf_counter() - started
    work.console.print(
        f"published {name}: {rows.num_rows:,} rows, {seconds:.1f} s -> {files.parquet}"
    )
    facts = {
        "rows": rows.num_rows,
        "parquet": str(files.parquet),
        "receipt": str(files.receipt),
        "kept_receipt": str(files.kept(receipt.tag)),
        **whole.facts,
    }
    return Outcome("publish", name, DONE, "done", facts)


def refuse(name: str, reasons: Sequence[str]) -> None:
    """
    Refuse a model for these reasons; none, and it may go on.

    Raises:
        GateRed: There is a reason.
    """
    if reasons:
        raise GateRed(model=name, reasons=reasons)


def _published(
    catalog: Catalog, name: str, properties: Mapping[str, str], built_at: datetime | None
) -> str | None:
    """Tell the snapshot that holds the newest build, None when there is none."""
    table = find_table(catalog, table_name(name))
    current = None if table is None else table.current_snapshot()
    if current is None or current.summary is None:
        return None
    summary = current.summary.additional_properties
    if any(summary.get(key) != value for key, value in properties.items()):
        return None
    # After the ledger was deleted its numbers start over; then the times tell.
    if built_at is not None and built_at.timestamp() * 1000 > current.timestamp_ms:
        return None
    return str(current.snapshot_id)


def _staleness(whole: DerivedTable, build: Build, warehouse: Warehouse) -> list[str]:
    """List why a build cannot be rebuilt from what is published now."""
    if not build.sql:
        return [f"its build left no SQL to keep; run: dbt build --select {whole.name}"]
    newest = warehouse.sequences()
    return [
        f"it was built before {name} was last built; run: dbt build --select {whole.name}"
        for name, unique_id in whole.inputs.items()
        if newest.get(unique_id, 0) > build.sequence
    ]


def _origin(build: Build, work: Publishing) -> dict[str, object]:
    return {
        "store_id": ensure_store(work.catalog),
        "warehouse_id": work.warehouse.warehouse_id(),
        "ledger_sequence": build.sequence,
        "build_id": build.build_id,
        "duckdb": duckdb.__version__,
        "manifest_sha256": work.registry.checksum,
        "git_sha": _git_sha(work.project_dir),
        "published_at": format_time(work.settings.now()),
    }


def _commit(
    receipt: Receipt,
    rows: pa.Table,
    catalog: Catalog,
    properties: Mapping[str, str],
    columns_may_change: bool,
) -> Receipt:
    """Commit the set with the digests of its receipt, and tag every snapshot it names."""
    snapshot_id = publish_table(
        catalog,
        receipt.training_set,
        rows,
        columns=receipt.columns,
        snapshot_properties={**properties, RECEIPT: json.dumps(receipt.digests())},
        columns_may_change=columns_may_change,
    )
    sources = {source.name: source.snapshot_id for source in receipt.sources}
    tag_snapshots(catalog, receipt.tag, {**sources, receipt.training_set: snapshot_id})
    return replace(receipt, snapshot_id=snapshot_id)


def _git_sha(project_dir: Path) -> str | None:
    # Asking git is the only way to know; a project outside of git has none.
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - git is wherever PATH has it
            cwd=project_dir,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
