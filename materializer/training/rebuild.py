"""
Rebuilding: the SQL that built a training set, over the rows that it saw then.

Owns a DuckDB of its own, in which the relations of that SQL hold the rows of Iceberg snapshots.
Refuses to let the SQL reach anything else: no file, no network, no setting. It comes from a
receipt, and a receipt may be a file that somebody sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from materializer.errors import CannotRebuild
from materializer.offline.catalog import table_name, translate_errors
from materializer.offline.read import data_files, read_files
from materializer.sql import open_engine, quoted
from materializer.training.receipt import Receipt, Source
from materializer.warehouse.checksum import as_published, checksum_of_query, ledger_checksum

# It spills to disk beyond this.
_MEMORY = "1GB"

_PART = re.compile(r'"((?:[^"]|"")*)"')

# Told how many rows came in.
Progress = Callable[[int], None]


class Rebuild:
    """One rebuild: first every source is loaded, then the SQL runs. Made by `rebuilding`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, receipt: Receipt) -> None:
        self._connection = connection
        self._receipt = receipt

    def load(self, source: Source, table: Table, progress: Progress) -> None:
        """
        Fill the relation of a source with the rows of its snapshot, streaming.

        Args:
            source: A source of the receipt.
            table: Its Iceberg table, which has the snapshot.
            progress: Told after every batch.

        Raises:
            OfflineStoreUnavailable: The store cannot be read.
        """
        if source.relation is None:
            return
        columns = [column.name for column in source.columns]
        with translate_errors(table_name(source.name)):
            rows = read_files(table, data_files(table, source.snapshot_id), columns)
            self._create(source.relation, rows.schema.empty_table())
            for batch in rows:
                self._insert(source.relation, pa.Table.from_batches([batch]))
                progress(batch.num_rows)

    def run(self) -> str:
        """
        Run the SQL and tell the content of its rows. Every source must be loaded.

        Raises:
            CannotRebuild: The SQL reads something that is not loaded.
        """
        receipt = self._receipt
        self._load_ledger()
        self._connection.execute("set enable_external_access = false")
        self._connection.execute("set lock_configuration = true")
        try:
            # The SQL may end in a comment.
            return checksum_of_query(
                self._connection,
                f"select {as_published(receipt.columns)} from (\n{receipt.sql}\n)",
                receipt.columns,
            )
        except (
            duckdb.CatalogException,
            duckdb.BinderException,
            duckdb.ParserException,
            duckdb.PermissionException,
        ) as error:
            raise CannotRebuild(receipt.training_set, str(error).split("\n", 1)[0]) from error

    def content_of(self, source: Source) -> str:
        """Tell the content of what was loaded, in the form that the source's own has."""
        relation = source.relation
        if source.model is None:
            return checksum_of_query(self._connection, f"from {relation}", source.columns)
        query = f"select {ledger_checksum(source.columns)} from {relation}"
        return str(self._connection.execute(query).fetchall()[0][0])

    def _load_ledger(self) -> None:
        # What the macro built_days reads, and no more.
        days = pa.schema([("model", pa.string()), ("day", pa.date32()), ("sequence", pa.int64())])
        self._create(self._receipt.ledger, days.empty_table())
        for source in self._receipt.sources:
            for run in source.built_days:
                self._connection.execute(
                    f"insert into {self._receipt.ledger} "
                    "select ?, cast(unnest(generate_series(?, ?, interval 1 day)) as date), 1",
                    [source.model, run.first, run.last],
                )

    def _create(self, relation: str, rows: pa.Table) -> None:
        database, schema, _ = self._names(relation)
        self._connection.execute(f"attach if not exists ':memory:' as {quoted(database)}")
        self._connection.execute(f"create schema if not exists {quoted(database)}.{schema}")
        self._connection.register("batch", rows)
        self._connection.execute(f"create table {relation} as select * from batch")

    def _insert(self, relation: str, rows: pa.Table) -> None:
        self._connection.register("batch", rows)
        self._connection.execute(f"insert into {relation} select * from batch")

    def _names(self, relation: str) -> Sequence[str]:
        names: list[str] = _PART.findall(relation)
        if len(names) != 3 or ".".join(f'"{name}"' for name in names) != relation:
            raise CannotRebuild(self._receipt.training_set, f"{relation} is no DuckDB relation")
        return names


@contextmanager
def rebuilding(receipt: Receipt) -> Iterator[Rebuild]:
    """Open an empty DuckDB for a rebuild; it spills to a temporary folder of its own."""
    with open_engine(_MEMORY) as (connection, _):
        yield Rebuild(connection, receipt)
