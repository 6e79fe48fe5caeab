"""
`materializer verify-training`: is a training set still what its receipt says?

Responsible for the verdict: the SQL of the receipt runs again over the snapshots and the label file
that it names, and either the same rows come out, or the first input that differs is named. A
receipt may come from a stranger. So nothing of it runs before the store vouches for it, by a tag;
its SQL must be one query that only reads; it can reach no other file, no network and no setting;
and its time and disk are bounded. Does not write.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from materializer.config import Settings
from materializer.console import Console
from materializer.errors import (
    DONE,
    FAILED,
    CannotRebuild,
    RebuildTooLarge,
    UsageError,
    explain,
)
from materializer.offline.catalog import (
    find_table,
    open_catalog,
    store_id,
    table_name,
    translate_errors,
)
from materializer.offline.read import Parquet, data_files
from materializer.registry import Column
from materializer.sql import (
    interrupt_after,
    literal,
    open_engine,
    parquet_rows,
    quoted_list,
    require_select,
)
from materializer.training.files import sha256_of
from materializer.training.join import JOIN_MEMORY
from materializer.training.labels import open_labels
from materializer.training.receipt import Hash, InputTable, Receipt, read_receipt
from materializer.warehouse.checksum import ledger_checksum, md5_checksum

_REBUILT = "work.rebuilt"
_WRITTEN = "work.written"
_PART = re.compile(r'"((?:[^"]|"")*)"')
# Which input or part of a receipt differs, and why.
Difference = tuple[str, str]


def verify_training(
    settings: Settings, path: Path, console: Console, *, time_limit: float = 3600
) -> int:
    """
    Rebuild a training set from its receipt, and report whether it is identical.

    Its SQL may run for *time_limit* seconds.

    Returns:
        0 when it is identical, 1 when it differs.

    Raises:
        ReceiptUnreadable: There is no such receipt.
        UsageError: It is the receipt of another store.
        LabelsUnusable: Its label file is gone, or cannot be read.
        CannotRebuild: The SQL does more than read its inputs.
        RebuildTooLarge: It takes too long, or too much disk.
        OfflineStoreUnavailable: The store cannot be read.
    """
    started = time.perf_counter()
    receipt = read_receipt(path)
    catalog = open_catalog(settings, note=console.note)
    _require_store(receipt, catalog)
    what, why = next(_differences(receipt, path, catalog, time_limit), (None, None))
    seconds = time.perf_counter() - started
    if what is None:
        console.print(
            f"{receipt.tag}: identical, {receipt.rows:,} rows rebuilt from {len(receipt.inputs)} "
            f"snapshots, {seconds:.1f} s"
        )
    else:
        console.print(f"{receipt.tag}: differs: {what}: {why}")
    console.result(
        {
            "receipt": str(path),
            "tag": receipt.tag,
            "rows": receipt.rows,
            "verdict": "identical" if what is None else "differs",
            "differs": what,
            "why": why,
            "seconds": round(seconds, 3),
        }
    )
    return DONE if what is None else FAILED


def _require_store(receipt: Receipt, catalog: Catalog) -> None:
    current = store_id(catalog)
    if receipt.store_id != current:
        raise UsageError(
            f"{receipt.tag} was published in store {receipt.store_id}, and this is "
            f"{'an empty one' if current is None else f'store {current}'}; "
            "set FEATURE_STORE_HOME, or the catalog"
        )


def _differences(
    receipt: Receipt, path: Path, catalog: Catalog, time_limit: float
) -> Iterator[Difference]:
    """Yield what differs, in a fixed order; the work is done only as far as it is consumed."""
    if part := receipt.changed_part():
        yield part, "the receipt does not say what was written"
    if not receipt.snapshots:
        yield "inputs", "it names no published table, so nothing vouches for it"
    tables = {name: find_table(catalog, table_name(name)) for name in receipt.snapshots}
    for name, snapshot_id in receipt.snapshots.items():
        table = tables[name]
        tagged = None if table is None else table.metadata.refs.get(receipt.tag)
        if table is None or table.snapshot_by_id(snapshot_id) is None:
            yield name, f"its snapshot {snapshot_id} is gone"
        elif tagged is None or tagged.snapshot_id != snapshot_id:
            yield name, f"its snapshot {snapshot_id} has no tag {receipt.tag}"
    if labels := receipt.label_file:
        file = Path(labels.path)
        if file.is_file() and sha256_of(file) != labels.sha256:
            yield "labels", f"{file} is another file than the one that was joined"
    parquet = path.with_name(receipt.parquet)
    intact = parquet.is_file() and sha256_of(parquet) == receipt.parquet_sha256
    with open_engine(JOIN_MEMORY) as (connection, folder):
        rebuild = Rebuild(connection, folder, receipt, parquet if intact else None)
        rebuild.load(tables)
        yield from rebuild.differences(time_limit)
    if parquet.is_file() and not intact:
        yield receipt.parquet, "the file next to the receipt is another one"


class Rebuild:
    """A DuckDB that holds the inputs of one receipt and can reach nothing else."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        receipt: Receipt,
        written: Path | None,
    ) -> None:
        """Prepare a rebuild; *written* is the Parquet file of the set, None if it was changed."""
        self._connection = connection
        self._folder = folder
        self._receipt = receipt
        self._written = None if written is None else str(written.resolve())
        self._paths = [] if self._written is None else [self._written]

    def load(self, tables: Mapping[str, Table | None]) -> None:
        """Create a view of every input, then forbid all other access."""
        receipt = self._receipt
        self._connection.execute("create schema work")
        if file := receipt.label_file:
            written = (file.dialect.delimiter, file.dialect.quote) if file.dialect else ()
            labels = open_labels(self._connection, Path(file.path), *written)
            self._create("view", file.relation, f"select * from {labels.relation}")
            self._paths.append(file.path)
        for source in receipt.inputs:
            table = tables[source.name]
            if source.relation is not None and table is not None:
                self._load_table(source, source.relation, table)
        if receipt.ledger_relation is not None:
            self._load_built_days(receipt.ledger_relation)
        free = shutil.disk_usage(self._folder).free
        self._connection.execute(f"set max_temp_directory_size = '{free // 2} bytes'")
        allowed = ", ".join(map(literal, self._paths))
        self._connection.execute(f"set allowed_paths = [{allowed}]")
        self._connection.execute("set enable_external_access = false")
        self._connection.execute("set lock_configuration = true")

    def differences(self, time_limit: float) -> Iterator[Difference]:
        """Run the SQL and compare its rows; if they differ, compare the inputs."""
        with self._limits(time_limit):
            self._select(self._receipt.sql).create(_REBUILT)
            yield from self._differences()

    def _differences(self) -> Iterator[Difference]:
        receipt = self._receipt
        if self._checksum(_REBUILT, receipt.columns, receipt.hash) == receipt.checksum:
            return
        if self._comparable(receipt.hash):
            yield from self._changed_inputs()
        elif self._written is None:
            yield (
                "output",
                f"DuckDB {duckdb.__version__} cannot compare with the checksum of DuckDB "
                f"{receipt.duckdb}; put {receipt.parquet} next to the receipt",
            )
        elif not self._equals_file(self._written):
            yield "output", f"other rows came out{self._engine()}"

    def input_checksum(self, source: InputTable) -> str:
        """Return the checksum of the rows of an input, in the form that it has in the receipt."""
        return self._checksum(str(source.relation), source.columns, source.hash)

    def _select(self, query: str) -> duckdb.DuckDBPyRelation:
        """Return the rows of a query that has text of the receipt in it."""
        try:
            require_select(self._connection, query)
        except ValueError as error:
            raise CannotRebuild(self._receipt.tag, str(error)) from None
        return self._connection.sql(query)

    @contextmanager
    def _limits(self, seconds: float) -> Iterator[None]:
        tag = self._receipt.tag
        try:
            with interrupt_after(self._connection, seconds), translate_errors("data files"):
                yield
        except duckdb.InterruptException:
            raise RebuildTooLarge(
                tag, f"it takes longer than {seconds:g} s; --time-limit gives it more"
            ) from None
        except duckdb.OutOfMemoryException as error:
            raise RebuildTooLarge(tag, explain(error)) from error
        except (duckdb.ProgrammingError, duckdb.DataError, duckdb.PermissionException) as error:
            raise CannotRebuild(tag, explain(error)) from error

    def _changed_inputs(self) -> Iterator[Difference]:
        """List why other rows came out: the inputs that differ, or else the engine."""
        unknown = []
        for source in self._receipt.inputs:
            if source.relation is None:
                continue
            if source.checksum is None:
                unknown.append(source.name)
            elif source.checksum != self.input_checksum(source):
                if not self._comparable(source.hash):
                    unknown.append(source.name)
                    continue
                rows = f"the rows of its snapshot {source.snapshot_id}"
                yield source.name, f"{rows} are not those it was built from"
        engine, names = self._engine(), ", ".join(unknown)
        if unknown:
            yield "output", f"other rows came out{engine}; the rows of {names} are not compared"
        yield "output", f"every input is the same, and other rows came out{engine}"

    def _comparable(self, form: Hash) -> bool:
        return form == "md5" or self._receipt.duckdb == duckdb.__version__

    def _engine(self) -> str:
        now, then = duckdb.__version__, self._receipt.duckdb
        return "" if now == then else f", by DuckDB {now} in place of {then}"

    def _checksum(self, relation: str, columns: Sequence[Column], form: Hash) -> str:
        aggregate = md5_checksum if form == "md5" else ledger_checksum
        query = f"select {aggregate(columns)} from {relation}"
        return str(self._select(query).fetchall()[0][0])

    def _equals_file(self, written: str) -> bool:
        names = quoted_list(column.name for column in self._receipt.columns)
        # A view, as text with names of the receipt in it may read no file.
        self._connection.execute(f"create view {_WRITTEN} as select * from {parquet_rows(written)}")
        file, rebuilt = (f"select {names} from {rows}" for rows in (_WRITTEN, _REBUILT))
        query = f"({file} except all {rebuilt}) union all ({rebuilt} except all {file}) limit 1"
        return not self._select(query).fetchall()

    def _load_table(self, source: InputTable, relation: str, table: Table) -> None:
        copies = self._folder / str(len(self._paths))
        parquet = Parquet(table, source.columns, copies, source.snapshot_id)
        with translate_errors(table_name(source.name)):
            files = [file.file_path for file in data_files(table, source.snapshot_id)]
            self._paths += map(parquet.local, files)
            self._create("view", relation, f"select * from {parquet.sql(files)}")

    def _load_built_days(self, relation: str) -> None:
        # What the macro built_days reads, and no more.
        nothing = (
            "select null::varchar as model, null::date as day, 1::bigint as sequence, '' as reason"
        )
        self._create("table", relation, f"{nothing} where false")
        for source in self._receipt.inputs:
            for days in source.built_days:
                self._connection.execute(
                    f"insert into {relation} "
                    "select ?, cast(unnest(generate_series(?, ?, interval 1 day)) as date), 1, ''",
                    [source.model, days.first, days.last],
                )

    def _create(self, kind: str, relation: str, query: str) -> None:
        names = _PART.findall(relation)
        if len(names) not in (1, 3) or ".".join(f'"{name}"' for name in names) != relation:
            raise CannotRebuild(self._receipt.tag, f"{relation} is not a DuckDB relation")
        if len(names) == 3:
            database, schema, _ = (f'"{name}"' for name in names)
            self._connection.execute(f"attach if not exists ':memory:' as {database}")
            self._connection.execute(f"create schema if not exists {database}.{schema}")
        self._connection.execute(f"create {kind} {relation} as {query}")
