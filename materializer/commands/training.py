"""
Publishing a training set: its table, its labels, a Parquet file, and a receipt.

Owns the order in which these are written: the tables, the tags that keep their snapshots, then the
receipts and the file. So a receipt never names a snapshot that may expire. Refuses a set that was
built before its groups were last built: its rows did not come from the rows that are published.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from materializer.builds import Build, newest_build
from materializer.commands.outcome import Outcome
from materializer.config import Settings, format_time
from materializer.content import content_of_rows, sum_contents
from materializer.days import runs
from materializer.errors import DONE, GateRed, NotPublished
from materializer.gate import require_green
from materializer.offline.catalog import (
    LABELS,
    LEDGER_SEQUENCE,
    RECEIPT,
    WAREHOUSE_ID,
    ensure_store,
    find_table,
    table_name,
)
from materializer.offline.publish import last_published, publish_table
from materializer.offline.tags import free_tag, tag_snapshots
from materializer.progress import Voice
from materializer.receipt import Receipt, Source
from materializer.registry import FeatureGroup, Registry, TrainingSet
from materializer.training_files import TrainingFiles
from materializer.warehouse import Warehouse


def publish_training_set(
    training_set: TrainingSet,
    registry: Registry,
    warehouse: Warehouse,
    catalog: Catalog,
    settings: Settings,
    voice: Voice,
    project_dir: Path,
    refused: Collection[str],
) -> Outcome:
    """
    Publish one training set, if there is a newer build than the published one.

    Args:
        training_set: The training set.
        registry: The project.
        warehouse: Where its rows are.
        catalog: The offline store.
        settings: Name the home, for its files.
        voice: Told what happens.
        project_dir: The project; its commit goes into the receipt.
        refused: Groups that were just refused; a training set built on one is refused too.

    Raises:
        GateRed: A gate test that guards it is not green, or a group under it was refused, or was
            built again since.
        OfflineStoreUnavailable: The store cannot be written.
    """
    started = time.perf_counter()
    name = training_set.name
    require_green(name, training_set.unique_id, registry, warehouse)
    held_back = [group for group in training_set.groups if group in refused]
    _refuse(name, [f"it was built on {group}, which was not published" for group in held_back])
    build = newest_build(warehouse, registry, training_set.unique_id)
    properties = {WAREHOUSE_ID: warehouse.warehouse_id(), LEDGER_SEQUENCE: str(build.sequence)}
    files = TrainingFiles(settings.home / "training", name)
    snapshot = _published(
        catalog, name, properties, warehouse.last_built_at(training_set.unique_id)
    )
    if snapshot and files.name_snapshot(snapshot):
        voice.say(f"published {name}: up to date")
        return Outcome("publish", name, DONE, "up to date")
    groups = [registry.groups[group] for group in training_set.groups]
    _refuse(name, _staleness(name, build, groups, warehouse))
    rows = warehouse.table(training_set.relation_name, training_set.columns)
    labels = _publish_labels(training_set, rows, catalog, properties)
    receipt = Receipt(
        training_set=name,
        tag=free_tag(catalog, name, f"{name}-{build.sequence}-{build.build_id[:8]}", files.tags()),
        snapshot_id=None,
        columns=training_set.columns,
        content=content_of_rows(rows, training_set.columns),
        sources=(labels, *(_source(group, warehouse, catalog) for group in groups)),
        ledger=registry.records["build_ledger"],
        sql=build.sql or "",
        vars=build.vars,
        origin=_origin(build, registry, warehouse, catalog, settings, project_dir),
        parquet=files.parquet.name,
        parquet_sha256=files.write_rows(rows),
    )
    files.show(_commit(receipt, rows, catalog, properties))
    seconds = time.perf_counter() - started
    voice.say(f"published {name}: {rows.num_rows:,} rows, {seconds:.1f} s -> {files.parquet}")
    facts = {
        "rows": rows.num_rows,
        "parquet": str(files.parquet),
        "receipt": str(files.receipt),
        "kept_receipt": str(files.kept(receipt.tag)),
    }
    return Outcome("publish", name, DONE, "done", facts)


def _refuse(name: str, reasons: Sequence[str]) -> None:
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


def _staleness(
    name: str, build: Build, groups: Iterable[FeatureGroup], warehouse: Warehouse
) -> list[str]:
    """List why a build cannot be rebuilt from what is published now."""
    if not build.sql:
        return [f"its build left no SQL to keep; run: dbt build --select {name}"]
    newest = warehouse.sequences()
    return [
        f"it was built before {group.name} was last built; run: dbt build --select {name}"
        for group in groups
        if newest[group.unique_id] > build.sequence
    ]


def _publish_labels(
    training_set: TrainingSet, rows: pa.Table, catalog: Catalog, properties: Mapping[str, str]
) -> Source:
    columns = tuple(c for c in training_set.columns if c.name in training_set.labels)
    labels = rows.select([column.name for column in columns])
    snapshot_id = publish_table(
        catalog, LABELS, labels, columns=columns, snapshot_properties=properties
    )
    return Source(
        name=LABELS,
        relation=training_set.labels_relation,
        snapshot_id=snapshot_id,
        columns=columns,
        content=content_of_rows(labels, columns),
    )


def _source(group: FeatureGroup, warehouse: Warehouse, catalog: Catalog) -> Source:
    last = last_published(catalog, group.name)
    if last is None:
        raise NotPublished(group.name)
    days = warehouse.built_days(group.unique_id)
    return Source(
        name=group.name,
        relation=group.relation_name,
        snapshot_id=last.snapshot_id,
        columns=group.columns,
        # A publish compares what it takes with the ledger, so the history need not be read again.
        content=sum_contents(built.content for built in days),
        model=group.unique_id,
        built_days=tuple(runs(built.day for built in days)),
    )


def _origin(
    build: Build,
    registry: Registry,
    warehouse: Warehouse,
    catalog: Catalog,
    settings: Settings,
    project_dir: Path,
) -> dict[str, object]:
    return {
        "store_id": ensure_store(catalog),
        "warehouse_id": warehouse.warehouse_id(),
        "ledger_sequence": build.sequence,
        "build_id": build.build_id,
        "duckdb": duckdb.__version__,
        "manifest_sha256": registry.checksum,
        "git_sha": _git_sha(project_dir),
        "published_at": format_time(settings.now()),
    }


def _commit(
    receipt: Receipt, rows: pa.Table, catalog: Catalog, properties: Mapping[str, str]
) -> Receipt:
    """Commit the set with the digests of its receipt, and tag every snapshot it names."""
    snapshot_id = publish_table(
        catalog,
        receipt.training_set,
        rows,
        columns=receipt.columns,
        snapshot_properties={**properties, RECEIPT: json.dumps(receipt.digests())},
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
