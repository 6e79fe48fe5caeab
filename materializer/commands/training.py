"""
Publishing a training set: its table, its labels, a Parquet file, and a receipt.

Owns the two files that a training job reads, and that they change together or not at all: each is
written beside the old one and moved over it, the receipt last.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from materializer.commands.outcome import Outcome
from materializer.config import Settings, format_time
from materializer.errors import DONE, GateRed
from materializer.gate import require_green
from materializer.offline.catalog import (
    LABELS,
    LEDGER_SEQUENCE,
    WAREHOUSE_ID,
    find_table,
    table_name,
)
from materializer.offline.publish import last_published, publish_table
from materializer.progress import Voice
from materializer.registry import Registry, TrainingSet
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
        GateRed: A gate test that guards it is not green, or a group under it was refused.
        OfflineStoreUnavailable: The store cannot be written.
    """
    started = time.perf_counter()
    require_green(training_set.name, training_set.unique_id, registry, warehouse)
    held_back = [name for name in training_set.groups if name in refused]
    if held_back:
        raise GateRed(
            model=training_set.name,
            reasons=[f"it was built on {name}, which was not published" for name in held_back],
        )
    sequence = warehouse.sequences()[training_set.unique_id]
    properties = {
        WAREHOUSE_ID: warehouse.warehouse_id(),
        LEDGER_SEQUENCE: str(sequence),
    }
    parquet = settings.home / "training" / f"{training_set.name}.parquet"
    receipt = parquet.with_suffix(".receipt.json")
    built_at = warehouse.last_built_at(training_set.unique_id)
    snapshot = _published(catalog, training_set.name, properties, built_at)
    if snapshot and parquet.is_file() and _names(receipt, training_set.name, snapshot):
        voice.say(f"published {training_set.name}: up to date")
        return Outcome("publish", training_set.name, DONE, "up to date")
    rows = warehouse.table(training_set.relation_name, training_set.columns)
    label_columns = [c for c in training_set.columns if c.name in training_set.labels]
    snapshots = {
        LABELS: publish_table(
            catalog,
            LABELS,
            rows.select([c.name for c in label_columns]),
            columns=label_columns,
            snapshot_properties=properties,
        ),
        training_set.name: publish_table(
            catalog,
            training_set.name,
            rows,
            columns=training_set.columns,
            snapshot_properties=properties,
        ),
    }
    for group in training_set.groups:
        last = last_published(catalog, group)
        if last is not None:
            snapshots[group] = last.snapshot_id
    facts = {
        "training_set": training_set.name,
        "rows": rows.num_rows,
        "content": _content(rows),
        "snapshots": {name: str(snapshot) for name, snapshot in snapshots.items()},
        "ledger_sequence": sequence,
        "manifest_sha256": registry.checksum,
        "git_sha": _git_sha(project_dir),
        "published_at": format_time(settings.now()),
    }
    _write(parquet, receipt, rows, facts)
    seconds = time.perf_counter() - started
    voice.say(
        f"published {training_set.name}: {rows.num_rows:,} rows, {seconds:.1f} s -> {parquet}"
    )
    return Outcome(
        "publish",
        training_set.name,
        DONE,
        "done",
        {"rows": rows.num_rows, "parquet": str(parquet), "receipt": str(receipt)},
    )


def _published(
    catalog: Catalog, name: str, properties: dict[str, str], built_at: datetime | None
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


def _names(receipt: Path, name: str, snapshot: str) -> bool:
    """Tell whether a receipt is the one of a snapshot; a kill can leave an older one."""
    try:
        return bool(json.loads(receipt.read_text())["snapshots"][name] == snapshot)
    except (OSError, ValueError, KeyError):
        return False


def _write(parquet: Path, receipt: Path, rows: pa.Table, facts: dict[str, object]) -> None:
    parquet.parent.mkdir(parents=True, exist_ok=True)
    fresh = parquet.with_suffix(".tmp")
    pq.write_table(rows, fresh)
    facts["parquet"] = parquet.name
    facts["parquet_sha256"] = hashlib.sha256(fresh.read_bytes()).hexdigest()
    # Between the two moves the receipt is missing, never wrong: the next publish writes both again.
    receipt.unlink(missing_ok=True)
    fresh.replace(parquet)
    fresh = receipt.with_suffix(".tmp")
    fresh.write_text(json.dumps(facts, indent=2) + "\n")
    fresh.replace(receipt)


def _content(rows: pa.Table) -> str:
    # The same for the same rows in any order: their number, and the sum of a hash of each.
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("content", rows)
        found = connection.execute(
            "select coalesce(sum(md5_number_lower(cast(content as varchar))::hugeint), 0) "
            "from content"
        ).fetchall()
    return f"{rows.num_rows}:{found[0][0]}"


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
