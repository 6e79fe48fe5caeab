"""
`materializer training-set`: joins a file of labels with published groups.

Responsible for the order of the work: join, check, tag the snapshots, and only then move the file
and its receipt into place. Does not trust the join: it checks the rows that were matched and the
file that was written. Does not need dbt or the warehouse.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import starmap
from pathlib import Path

import duckdb
from pyiceberg.catalog import Catalog

from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.errors import DONE, TrainingSetRefused, UsageError
from materializer.lock import run_lock
from materializer.offline.catalog import open_catalog, store_id, translate_errors
from materializer.offline.snapshot import open_snapshots
from materializer.offline.write import tag_snapshots
from materializer.registry import Column
from materializer.sql import numbered_parquet_rows, open_engine, parquet_rows, quoted_list
from materializer.training.files import sha256_of, show_set
from materializer.training.join import JOIN_MEMORY, SPINE, LabelTimes, PointInTimeJoin
from materializer.training.labels import LabelFile, column_types, is_pattern, open_labels
from materializer.training.receipt import InputFile, InputTable, Receipt
from materializer.training.request import GroupJoin, TrainingSetRequest, resolve_groups
from materializer.warehouse.checksum import ledger_checksum

# A publish holds the run lock from start to end [s].
_WAIT = 60.0


def training_set(
    settings: Settings,
    labels: Path,
    request: TrainingSetRequest,
    out: Path,
    console: Console,
    *,
    force: bool,
) -> int:
    """
    Write a training set for a file of labels, and its receipt next to it.

    Raises:
        UsageError: The labels, the names or the output cannot be used; see `request` and `labels`.
        TrainingSetRefused: A check failed. Nothing is written, and nothing is tagged.
        StoreUnavailable: A group is not published, or the store cannot be read or tagged.
        AnotherRun: A publish did not end in time. Nothing is written.
    """
    started = time.perf_counter()
    _require_writable(out, labels, force=force)
    receipt_path = out.with_name(f"{out.name}.receipt.json")
    fresh = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    catalog = open_catalog(settings, note=console.note)
    try:
        receipt = _write(settings, catalog, labels, request, out, fresh, console)
        # Tags are commits, and a publish must not meet another writer.
        with run_lock(settings, "materializer training-set", wait=_WAIT):
            tag_snapshots(catalog, receipt.tag, receipt.snapshots)
        show_set(fresh, out, receipt_path, receipt)
    finally:
        fresh.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    console.print(
        f"{out}: {receipt.rows:,} rows, {len(receipt.columns)} columns, from "
        f"{len(receipt.inputs)} snapshots, {seconds:.1f} s"
    )
    console.result(
        {
            "out": str(out),
            "receipt": str(receipt_path),
            "tag": receipt.tag,
            "rows": receipt.rows,
            "columns": {column.name: column.type for column in receipt.columns},
            "snapshots": {name: str(number) for name, number in receipt.snapshots.items()},
            "seconds": round(seconds, 3),
        }
    )
    return DONE


def _require_writable(out: Path, labels: Path, *, force: bool) -> None:
    if is_pattern(out):
        raise UsageError(f"--out {out}: a path with *, ? or [ is taken for a pattern; rename it")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}")
    if out.is_dir():
        raise UsageError(f"--out {out}: it is a folder; name a file in it")
    if out.exists() and labels.exists() and out.samefile(labels):
        raise UsageError(f"--out {out}: it is the label file; name another one")
    if out.exists() and not force:
        raise UsageError(f"--out {out}: there is such a file; name another one, or add --force")


def _write(
    settings: Settings,
    catalog: Catalog,
    labels: Path,
    request: TrainingSetRequest,
    out: Path,
    fresh: Path,
    console: Console,
) -> Receipt:
    """Write the set to *fresh*, check it, and return its receipt."""
    with open_engine(JOIN_MEMORY) as (connection, folder):
        file = open_labels(connection, labels, request.delimiter, request.quote)
        labels_sha256 = sha256_of(labels)
        snapshots = open_snapshots(catalog, list(request.joins.values()))
        joins = resolve_groups(request, snapshots, file)
        join = PointInTimeJoin(connection, folder, file, request.time, joins)
        times = join.read_labels()
        with translate_errors(catalog.name):
            for group_join in joins:
                join.match(group_join, times)
                name = group_join.group.name
                require_no_future(connection, name, join.matches(group_join), SPINE)
        join.write(fresh)
        columns = tuple(starmap(Column, column_types(connection, parquet_rows(fresh)).items()))
        checksum = require_conserved(
            connection, join.labels_sql(), fresh, columns, list(file.types), join.number
        )
        # It was read several times, and must have been the same file each time.
        if sha256_of(labels) != labels_sha256:
            raise UsageError(f"{labels.name} changed while it was read; try again")
        for line in _late_labels(connection, joins, times):
            console.note(line)
    return Receipt(
        rows=int(checksum.partition(":")[0]),
        hash="duckdb",
        checksum=checksum,
        parquet=out.name,
        parquet_sha256=sha256_of(fresh),
        store_id=store_id(catalog) or "",
        duckdb=duckdb.__version__,
        version=version("dbt-feature-store"),
        written_at=format_time(settings.now()),
        label_file=_label_file(file, labels_sha256, join.labels_relation, request.time),
        inputs=tuple(map(_input, joins)),
        columns=columns,
        sql=join.plain_sql(),
    ).sealed()


def _label_file(file: LabelFile, sha256: str, relation: str, time: str) -> InputFile:
    return InputFile(
        path=str(file.path), sha256=sha256, relation=relation, time=time, dialect=file.dialect
    )


def _input(join: GroupJoin) -> InputTable:
    group, snapshot = join.group, join.snapshot
    return InputTable(
        name=group.name,
        snapshot_id=snapshot.snapshot_id,
        relation=join.relation,
        model=group.unique_id,
        on=dict(join.on),
        columns=group.columns,
        built_days=snapshot.built_days,
    )


def require_no_future(
    connection: duckdb.DuckDBPyConnection, group: str, matches: str, spine: str
) -> None:
    """Refuse *matches* (`n`, `available_at`) that *spine* (`n`, `label_time`) could not see yet."""
    [(count, first)] = connection.execute(
        f"select count(*), min(spine.n) from {matches} as matches join {spine} as spine using (n) "
        "where available_at > label_time"
    ).fetchall()
    if count:
        raise TrainingSetRefused(
            f"{count:,} labels see a row of {group} that was not available yet, such as the label "
            f"of row {first + 1}"
        )


def require_conserved(
    connection: duckdb.DuckDBPyConnection,
    labels_sql: str,
    written: Path,
    columns: Sequence[Column],
    label_columns: Iterable[str],
    number: str,
) -> str:
    """
    Refuse a file that does not have each label once and in order; return its checksum.

    *labels_sql* is the query of the expected labels, and its column *number* their numbers from 0.
    """
    row = f"{number}, {quoted_list(label_columns)}"
    labels = f"count(*), coalesce(sum(hash({row})), 0)"
    rows = numbered_parquet_rows(written, number)
    [before] = connection.execute(f"select {labels} from ({labels_sql})").fetchall()
    [(*after, checksum)] = connection.execute(
        f"select {labels}, {ledger_checksum(columns)} from ({rows})"
    ).fetchall()
    if tuple(after) != before:
        raise TrainingSetRefused(
            f"of {before[0]:,} labels {after[0]:,} came out, and not each as it went in"
        )
    return str(checksum)


def _late_labels(
    connection: duckdb.DuckDBPyConnection, joins: Sequence[GroupJoin], times: LabelTimes
) -> Iterator[str]:
    for join in joins:
        known = (file.last for file in join.snapshot.files if file.last is not None)
        newest = max(known, default=times.last)
        if times.last <= newest:
            continue
        [(count, since)] = connection.execute(
            f"select count(*), strftime(make_timestamp({newest}), '%Y-%m-%dT%H:%M:%SZ') "
            f"from {SPINE} where label_time > make_timestamp({newest})"
        ).fetchall()
        yield (
            f"{join.group.name}: {count:,} labels are later than its newest published row, "
            f"which is available since {since}; they see what was known then, where it is still "
            "true"
        )
