"""
Data files: how rows become sorted Parquet files that Iceberg can list, and how they are listed.

Owns file layout (sorted by entity, small row groups, so that one entity is one row group), the
statistics that go with each file, and DuckDB as the sorter. Refuses to commit: a file written here
is invisible until `publish` or `spans` names it in a snapshot.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.utils.datetime import days_to_date

from materializer.errors import OfflineStoreUnavailable
from materializer.sql import quoted_list

# One lookup reads and decodes one row group: 10,240 rows take 1.4 ms, 50,000 take 4 ms, and the
# files are no smaller for it. A multiple of DuckDB's 2,048-row vectors.
ROW_GROUP = 10_240
# A piece is handed from the sorter to the writer at once; memory is one piece [rows].
_PIECE = 20 * ROW_GROUP
# A day beyond this becomes several files, so that no footer grows without bound [rows].
FILE_ROWS = 25 * _PIECE
# The sorter spills to disk beyond this.
SORTER_MEMORY = "1GB"

# A publish adds one manifest or two, and planning opens each [4 ms]; from this many on they become
# one.
MANIFESTS = 20

TABLE_PROPERTIES = {
    "write.parquet.row-group-limit": str(ROW_GROUP),
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "10",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": str(MANIFESTS),
    # One writer holds the run lock. A second one must fail, not be merged in silence.
    "commit.retry.num-retries": "0",
}


def sort_rows(
    connection: duckdb.DuckDBPyConnection,
    schema: pa.Schema,
    batches: Iterable[Any],
    by: Sequence[str],
) -> Iterator[Any]:
    """
    Sort record batches in DuckDB: strings in UTF-8 byte order, as Parquet's statistics compare.

    Args:
        connection: From `sql.open_engine`.
        schema: Schema of the batches.
        batches: Consumed once, streaming.
        by: Columns to sort by.

    Yields:
        Record batches of up to 204,800 rows; memory stays within the sorter's limit.
    """
    caught: list[Exception] = []
    source = _remembering(batches, caught)
    connection.register("unsorted", pa.RecordBatchReader.from_batches(schema, source))
    try:
        # Names come from the contract and are quoted.
        query = f"select * from unsorted order by {quoted_list(by)}"
        yield from connection.sql(query).to_arrow_reader(_PIECE)
    except duckdb.Error:
        # What the batches raise comes back from DuckDB as text; the caller wants the error.
        if caught:
            raise caught[0] from None
        raise


def _remembering(batches: Iterable[Any], caught: list[Exception]) -> Iterator[Any]:
    try:
        yield from batches
    except Exception as error:
        caught.append(error)
        raise


def write_files(
    table: Table, batches: Iterable[Any], *, keys: Sequence[str] = (), folder: str = ""
) -> list[DataFile]:
    """
    Write sorted record batches as Parquet files under a table's data path.

    Args:
        table: Gives schema, partitioning, location and properties; may be staged.
        batches: Rows of one partition, sorted, in the table's columns.
        keys: Columns whose values hardly repeat; they get no dictionary.
        folder: Relative folder, such as `day=2024-01-01/`.

    Returns:
        The files with their statistics, not yet in any snapshot; none without rows. When it
        raises, what it wrote is gone.
    """
    schema = table.schema().as_arrow()
    files: list[DataFile] = []
    pieces = _pieces(batches, schema)
    piece = next(pieces, None)
    try:
        while piece is not None:
            path = table.location_provider().new_data_location(f"{folder}{uuid.uuid4()}.parquet")
            try:
                metadata, piece = _write_one(table.io, path, keys, piece, pieces)
            except BaseException:
                _delete(table.io, path)
                raise
            files.append(_describe(table, path, metadata))
    except BaseException:
        discard(table.io, files)
        raise
    return files


def _pieces(batches: Iterable[Any], schema: pa.Schema) -> Iterator[pa.Table]:
    for batch in batches:
        if batch.num_rows:
            yield pa.Table.from_batches([batch]).cast(schema)


def _write_one(
    io: FileIO, path: str, keys: Sequence[str], first: pa.Table, more: Iterator[pa.Table]
) -> tuple[Any, pa.Table | None]:
    piece: pa.Table | None = first
    rows = 0
    with io.new_output(path).create() as sink:
        with pq.ParquetWriter(
            sink,
            first.schema,
            compression="zstd",
            use_dictionary=[name for name in first.column_names if name not in keys],
            store_schema=False,
            store_decimal_as_integer=True,
        ) as writer:
            while piece is not None and rows < FILE_ROWS:
                writer.write_table(piece, row_group_size=ROW_GROUP)
                rows += piece.num_rows
                piece = next(more, None)
        return writer.writer.metadata, piece


def _describe(table: Table, path: str, metadata: Any) -> DataFile:
    schema = table.schema()
    ids = parquet_path_to_id_mapping(schema)
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=metadata,
        stats_columns=compute_statistics_plan(schema, table.properties),
        parquet_column_mapping=ids,
    )
    for name in _without_bounds(metadata):
        statistics.column_aggregates.pop(ids[name], None)
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=statistics.partition(table.spec(), schema),
        file_size_in_bytes=len(table.io.new_input(path)),
        sort_order_id=None,
        spec_id=table.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _without_bounds(metadata: Any) -> set[str]:
    # Arrow writes no bounds for values over 4 kB, and PyIceberg then takes the bounds of the other
    # row groups for the file's: a reader that prunes by them would lose such an id.
    chunks = (
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    return {
        chunk.path_in_schema
        for chunk in chunks
        if chunk.statistics is None
        or (not chunk.statistics.has_min_max and chunk.statistics.num_values)
    }


def data_files(table: Table, snapshot_id: int | None = None) -> list[DataFile]:
    """
    List the data files of a snapshot, the current one by default.

    Raises:
        OfflineStoreUnavailable: The snapshot holds row-level deletes, which only another engine
            writes; this store's readers do not apply them.
    """
    if snapshot_id is None and table.current_snapshot() is None:
        return []
    files = []
    for task in table.scan(row_filter=AlwaysTrue(), snapshot_id=snapshot_id).plan_files():
        if task.delete_files:
            raise OfflineStoreUnavailable(
                ".".join(table.name()), "it holds row-level deletes; compact the table"
            )
        files.append(task.file)
    return files


def files_by_day(table: Table, snapshot_id: int | None = None) -> dict[date, list[DataFile]]:
    """
    List the data files of a snapshot of a group by their partition.

    Returns:
        Files by day, in day order.
    """
    days: dict[date, list[DataFile]] = {}
    for file in data_files(table, snapshot_id):
        days.setdefault(partition_day(file), []).append(file)
    return dict(sorted(days.items()))


def partition_day(file: DataFile) -> date:
    """Tell the day whose rows a data file holds."""
    value = file.partition[0]
    return value if isinstance(value, date) else days_to_date(value)


def read_files(
    table: Table, files: Iterable[DataFile], columns: Sequence[str]
) -> pa.RecordBatchReader:
    """Stream some columns of data files, file after file."""
    schema = pa.schema([table.schema().as_arrow().field(name) for name in columns])

    def batches() -> Iterator[Any]:
        for file in files:
            with table.io.new_input(file.file_path).open() as source:
                for batch in pq.ParquetFile(source).iter_batches(_PIECE, columns=list(columns)):
                    yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def count_rows(files: Iterable[DataFile]) -> int:
    """Count the rows of data files, from their statistics."""
    return sum(file.record_count for file in files)


def discard(io: FileIO, files: Iterable[DataFile]) -> None:
    """Delete files that no snapshot names; what cannot be deleted stays, invisible."""
    for file in files:
        _delete(io, file.file_path)


def _delete(io: FileIO, path: str) -> None:
    with suppress(OSError):
        io.delete(path)
