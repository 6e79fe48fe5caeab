"""
Publishing a table that was built from others: a training set, or a feature view.

Responsible for the order of the steps: first the tables, then the tags that keep their snapshots,
then receipt and file, so that a receipt never names a snapshot that may expire. Does not publish a
table that was built before its inputs were last built: its rows are not from what is published.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.days import day_ranges
from materializer.errors import DONE, NotPublished, OtherWarehouse
from materializer.offline.catalog import LEDGER_SEQUENCE, WAREHOUSE_ID, ensure_store
from materializer.offline.publish import last_published, publish_table
from materializer.offline.write import tag_snapshots
from materializer.outcome import Outcome
from materializer.registry import Column, FeatureGroup, FeatureView, Registry, TrainingSet
from materializer.training.files import TrainingFiles
from materializer.training.receipt import InputTable, Receipt
from materializer.warehouse.checksum import checksum_of_rows, sum_checksums
from materializer.warehouse.gate import refuse, require_green, require_table_as_built
from materializer.warehouse.reader import Build, Warehouse

# Takes the rows of a table and its snapshot properties, and returns the inputs as published.
Inputs = Callable[[pa.Table, Mapping[str, str]], Sequence[InputTable]]


@dataclass(frozen=True, slots=True)
class Publishing:
    """
    What the steps of one publish share.

    Attributes:
        project_dir: The project; its commit goes into the receipts.
        refused: Models that this publish refused; what was built on one is refused too.
        take_over: Replace what another warehouse published.
    """

    registry: Registry
    warehouse: Warehouse
    catalog: Catalog
    settings: Settings
    console: Console
    project_dir: Path
    refused: Collection[str]
    take_over: bool

    def files(self, name: str) -> TrainingFiles:
        """Return the files of a training set or a feature view."""
        return TrainingFiles(self.settings.home / "training", name)

    def require_own(self, name: str) -> None:
        """Raise `OtherWarehouse` for what another one published, in this catalog or this home."""
        own = self.warehouse.warehouse_id()
        other = other_warehouse(own, self.catalog, self.files(name))
        if other is not None and not self.take_over:
            file = self.settings.warehouse
            raise OtherWarehouse(model=name, published=other, file=file, own=own)


@dataclass(frozen=True, slots=True)
class DerivedTable:
    """
    One table to publish.

    Attributes:
        model: Its model; its table in the offline store has the same name.
        built_on: Name -> dbt's id of each model it was built on.
        publish_inputs: Publishes inputs that are not published yet, and returns all of them.
        parameter_version: Version of a feature view's parameters. The columns of a view follow the
            data, so its published table follows too.
    """

    model: TrainingSet | FeatureView
    columns: tuple[Column, ...]
    built_on: Mapping[str, str]
    publish_inputs: Inputs
    parameter_version: str | None = None


def other_warehouse(own: str, catalog: Catalog, files: TrainingFiles) -> str | None:
    """Return the warehouse that published the table or the files of a model, unless it is *own*."""
    published = (last_published(catalog, files.name), files.read())
    others = (last.warehouse_id for last in published if last and last.warehouse_id != own)
    return next(others, None)


def publish_training_set(training_set: TrainingSet, work: Publishing) -> Outcome:
    """
    Publish a training set, if there is a newer build than the published one.

    Raises:
        GateRed, OfflineStoreUnavailable: See `publish_derived_table`.
        NotPublished: A group it was built on was never published.
    """
    groups = [work.registry.groups[group] for group in training_set.groups]

    def publish_inputs(rows: pa.Table, properties: Mapping[str, str]) -> Sequence[InputTable]:
        labels = _publish_labels(training_set, rows, work.catalog, properties)
        return [labels, *(_group_input(group, work) for group in groups)]

    table = DerivedTable(
        model=training_set,
        columns=training_set.columns,
        built_on={group.name: group.unique_id for group in groups},
        publish_inputs=publish_inputs,
    )
    return publish_derived_table(table, work)


def publish_derived_table(table: DerivedTable, work: Publishing) -> Outcome:
    """
    Publish a table, if there is a newer build than the published one.

    Raises:
        GateRed: A gate test that guards it is not green, its rows are not those of the build, or
            an input was refused, or was built again since.
        OfflineStoreUnavailable: The store cannot be written.
    """
    started = time.perf_counter()
    model, warehouse = table.model, work.warehouse
    name, files = model.name, work.files(model.name)
    require_green(name, model.unique_id, work.registry, warehouse)
    build = require_table_as_built(
        name, model.unique_id, model.relation_name, table.columns, warehouse
    )
    held_back = [source for source in table.built_on if source in work.refused]
    refuse(name, [f"it was built on {source}, which was not published" for source in held_back])
    if _is_published(table, build, files, work):
        work.console.print(f"published {name}: up to date")
        return Outcome("publish", name, DONE, "up to date")
    newest = warehouse.sequences()
    again = warehouse.commands.build(f"--select {name}")
    stale = [
        f"it was built before {source} was last built; run: {again}"
        for source, unique_id in table.built_on.items()
        if newest.get(unique_id, 0) > build.sequence
    ]
    refuse(name, stale)
    receipt = _publish(table, build, files, work)
    seconds = time.perf_counter() - started
    work.console.print(
        f"published {name}: {receipt.rows:,} rows, {seconds:.1f} s -> {files.parquet}"
    )
    facts: dict[str, object] = {
        "rows": receipt.rows,
        "parquet": str(files.parquet),
        "receipt": str(files.receipt),
        "kept_receipt": str(files.kept(receipt.tag)),
    }
    if table.parameter_version is not None:
        facts["parameter_version"] = table.parameter_version
    return Outcome("publish", name, DONE, "done", facts)


def _publish(table: DerivedTable, build: Build, files: TrainingFiles, work: Publishing) -> Receipt:
    """Write the tables, then the tags, then the files."""
    warehouse_id = work.warehouse.warehouse_id()
    properties = {WAREHOUSE_ID: warehouse_id, LEDGER_SEQUENCE: str(build.sequence)}
    rows = work.warehouse.table(table.model.relation_name, table.columns)
    inputs = table.publish_inputs(rows, properties)
    parquet_sha256 = files.write_rows(rows)
    snapshot_id = publish_table(
        work.catalog,
        table.model.name,
        rows,
        columns=table.columns,
        snapshot_properties=properties,
        columns_may_change=table.parameter_version is not None,
    )
    receipt = Receipt(
        training_set=table.model.name,
        rows=rows.num_rows,
        hash="md5",
        checksum=checksum_of_rows(rows, table.columns),
        snapshot_id=snapshot_id,
        parquet=files.parquet.name,
        parquet_sha256=parquet_sha256,
        store_id=ensure_store(work.catalog),
        duckdb=duckdb.__version__,
        version=version("dbt-feature-store"),
        written_at=format_time(work.settings.now()),
        warehouse_id=warehouse_id,
        ledger_sequence=build.sequence,
        build_id=build.build_id,
        manifest_sha256=work.registry.checksum,
        git_sha=_git_sha(work.project_dir),
        parameter_version=table.parameter_version,
        vars=dict(build.vars),
        ledger_relation=work.registry.records["build_ledger"],
        inputs=tuple(inputs),
        columns=table.columns,
        sql=build.sql,
    ).sealed()
    tag_snapshots(work.catalog, receipt.tag, receipt.snapshots)
    files.show(receipt)
    return receipt


def _publish_labels(
    training_set: TrainingSet, rows: pa.Table, catalog: Catalog, properties: Mapping[str, str]
) -> InputTable:
    columns = [column for column in training_set.columns if column.name in training_set.labels]
    labels = rows.select([column.name for column in columns])
    name = training_set.name
    name = "labels" if name == "training_data" else f"_labels_{name}"
    return InputTable(
        name=name,
        snapshot_id=publish_table(
            catalog, name, labels, columns=columns, snapshot_properties=properties
        ),
        relation=training_set.labels_relation,
        columns=tuple(columns),
        hash="md5",
        checksum=checksum_of_rows(labels, columns),
    )


def _group_input(group: FeatureGroup, work: Publishing) -> InputTable:
    last = last_published(work.catalog, group.name)
    if last is None:
        raise NotPublished(group.name)
    days = work.warehouse.built_days(group.unique_id)
    return InputTable(
        name=group.name,
        snapshot_id=last.snapshot_id,
        relation=group.relation_name,
        model=group.unique_id,
        columns=group.columns,
        # A publish compares what it takes with the ledger, so the history need not be read again.
        checksum=sum_checksums(built.content for built in days),
        built_days=tuple(day_ranges(built.day for built in days)),
    )


def _is_published(
    table: DerivedTable, build: Build, files: TrainingFiles, work: Publishing
) -> bool:
    """Return whether the newest build is published, and the files are those of that snapshot."""
    last, receipt = last_published(work.catalog, table.model.name), files.read()
    if last is None or receipt is None or not files.parquet.is_file():
        return False
    return (
        last.holds(work.warehouse.warehouse_id(), build.sequence, build.built_at)
        # A kill can leave older files.
        and receipt.snapshot_id == last.snapshot_id
        and receipt.parameter_version == table.parameter_version
    )


def _git_sha(project_dir: Path) -> str | None:
    # Only git knows the commit; a project outside of git has none.
    try:
        return subprocess.check_output(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - git is wherever PATH has it
            cwd=project_dir,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=10,
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return None
