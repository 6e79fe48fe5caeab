"""
`materializer training-set`: a training set for any file of labels, from what is published.

Owns the order of the work: pin the groups, read the labels, join, check, tag the snapshots, and
only then show file and receipt. Refuses to need dbt or the warehouse. The run lock is held for a
moment at the end, since tags are commits and a publish must meet no other writer.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb
from pyiceberg.catalog import Catalog

from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.errors import DONE, OfflineStoreUnavailable, UsageError
from materializer.lock import run_lock
from materializer.offline.catalog import open_catalog, store_id
from materializer.offline.snapshot import GroupSnapshot, open_snapshots
from materializer.offline.tags import tag_snapshots
from materializer.sql import literal
from materializer.training.checks import require_conserved, require_no_future
from materializer.training.files import sha256_of
from materializer.training.join import ASKED, Asked, Joining, join_engine
from materializer.training.labels import LabelFile, open_labels
from materializer.training.point_in_time import Joined, point_in_time_sql
from materializer.training.request import TrainingSetRequest, resolve_groups
from materializer.training.set_receipt import Input, SetReceipt

# A publish holds the run lock from start to end [s].
_WAIT = 60.0
# A file that went away, is no Parquet, or is damaged.
_UNREADABLE = (duckdb.IOException, duckdb.InvalidInputException)


@dataclass(frozen=True, slots=True)
class Written:
    """
    A set that was joined and checked, and that nobody sees yet.

    Attributes:
        columns: DuckDB's type of each column, by its name.
        content: Content of its rows.
    """

    columns: Mapping[str, str]
    content: str


def training_set(
    settings: Settings,
    labels: Path,
    wanted: TrainingSetRequest,
    out: Path,
    console: Console,
    *,
    force: bool,
) -> int:
    """
    Make a training set, and its receipt beside it.

    Args:
        settings: Where the offline store is.
        labels: The label file.
        wanted: Which groups and columns.
        out: The Parquet file to write.
        console: Told what happens.
        force: Write over an existing file.

    Returns:
        0.

    Raises:
        UsageError: The labels, the names or the output cannot be used; see `wanted` and `labels`.
        TrainingSetRefused: A check failed. Nothing is written, and nothing is tagged.
        StoreUnavailable: A group is not published, or the store cannot be read or tagged.
        AnotherRun: A publish did not end in time. Nothing is written.
    """
    started = time.perf_counter()
    _require_writable(out, labels, force=force)
    receipt_path = out.with_name(f"{out.name}.receipt.json")
    with join_engine() as (connection, folder), _beside(out) as fresh:
        file = open_labels(connection, labels)
        hashed = sha256_of(labels)
        catalog = open_catalog(settings)
        snapshots = open_snapshots(catalog, wanted.groups)
        joined = resolve_groups(wanted, snapshots, file)
        joining = Joining(connection, folder, file, wanted.time, joined)
        asked = joining.ask()
        with _reading(catalog):
            for place, one in enumerate(snapshots):
                joining.find(place, one, asked)
                require_no_future(connection, one.group.name, joining.found(place), ASKED)
        written = _write(connection, joining, file, fresh)
        receipt = SetReceipt(
            labels=str(file.path),
            labels_sha256=_unchanged(labels, hashed),
            time=wanted.time,
            inputs=tuple(map(_input, snapshots, joined)),
            sql=point_in_time_sql(file, wanted.time, joined),
            columns=written.columns,
            content=written.content,
            parquet=out.name,
            parquet_sha256=sha256_of(fresh),
            origin=_origin(settings, catalog),
        )
        for line in _warnings(connection, snapshots, asked):
            console.note(line)
        with run_lock(settings, "materializer training-set", wait=_WAIT):
            tag_snapshots(catalog, receipt.tag, receipt.snapshots)
        _show(fresh, out, receipt, receipt_path)
    seconds = time.perf_counter() - started
    console.print(
        f"{out}: {receipt.rows:,} rows, {len(receipt.columns)} columns, from "
        f"{len(snapshots)} snapshots, {seconds:.1f} s"
    )
    console.result(
        {
            "out": str(out),
            "receipt": str(receipt_path),
            "tag": receipt.tag,
            "rows": receipt.rows,
            "columns": dict(receipt.columns),
            "snapshots": {name: str(number) for name, number in receipt.snapshots.items()},
            "seconds": round(seconds, 3),
        }
    )
    return DONE


def _require_writable(out: Path, labels: Path, *, force: bool) -> None:
    if re.search(r"[*?\[]", str(out.resolve())):
        raise UsageError(f"--out {out}: a path with *, ? or [ is taken for a pattern; rename it")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}")
    if out.is_dir():
        raise UsageError(f"--out {out}: it is a folder; name a file in it")
    if out.exists() and labels.exists() and out.samefile(labels):
        raise UsageError(f"--out {out}: it is the label file; name another one")
    if out.exists() and not force:
        raise UsageError(f"--out {out}: there is such a file; name another one, or add --force")


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Name a file beside the output; what is left of it in the end is removed."""
    fresh = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def _reading(catalog: Catalog) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        detail = str(error).split("\n", 1)[0]
        raise OfflineStoreUnavailable(catalog.name, detail) from error


def _write(
    connection: duckdb.DuckDBPyConnection, joining: Joining, labels: LabelFile, fresh: Path
) -> Written:
    joining.write(fresh)
    content = require_conserved(
        connection, joining.spine_sql(), fresh, labels.types, joining.number
    )
    rows = f"read_parquet({literal(str(fresh))}, hive_partitioning = false)"
    found = connection.execute(f"describe select * from {rows}").fetchall()
    return Written({name: kind for name, kind, *_ in found}, content)


def _unchanged(labels: Path, hashed: str) -> str:
    # It was read several times: each time it must have been the same file.
    if sha256_of(labels) != hashed:
        raise UsageError(f"{labels.name} changed while it was read; try again")
    return hashed


def _input(snapshots: GroupSnapshot, joined: Joined) -> Input:
    return Input(
        name=snapshots.group.name,
        snapshot_id=snapshots.snapshot_id,
        on=joined.on,
        columns=snapshots.group.columns,
        built_days=snapshots.built_days,
    )


def _origin(settings: Settings, catalog: Catalog) -> dict[str, str]:
    return {
        "store_id": store_id(catalog) or "",
        "duckdb": duckdb.__version__,
        "version": version("dbt-feature-store"),
        "written_at": format_time(settings.now()),
    }


def _warnings(
    connection: duckdb.DuckDBPyConnection, snapshots: Sequence[GroupSnapshot], asked: Asked
) -> Iterator[str]:
    for one in snapshots:
        known = [file.last for file in one.files if file.last is not None]
        newest = max(known, default=None)
        if newest is None or asked.last is None or asked.last <= newest:
            continue
        [(count, since)] = connection.execute(
            f"select count(*), strftime(make_timestamp({newest}), '%Y-%m-%dT%H:%M:%SZ') "
            f"from {ASKED} where asked_at > make_timestamp({newest})"
        ).fetchall()
        yield (
            f"{one.group.name}: {count:,} labels are later than its newest published row, which is "
            f"available since {since}; they see what was known then, where it is still true"
        )


def _show(fresh: Path, out: Path, receipt: SetReceipt, receipt_path: Path) -> None:
    text = fresh.with_suffix(".json")
    try:
        text.write_text(receipt.to_json(), encoding="utf-8")
        # Between the moves the receipt is missing, never wrong.
        receipt_path.unlink(missing_ok=True)
        fresh.replace(out)
        text.replace(receipt_path)
    finally:
        text.unlink(missing_ok=True)
