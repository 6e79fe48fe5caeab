"""
Writing: sorted Parquet files, and the commits that add them to a table and remove others.

Responsible for the layout of files (sorted by entity, in small row groups, so that one entity is in
one row group), for their statistics, for commits, and for the tags that keep snapshots. Metadata
stays bounded however often one publishes. Does not decide what is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from materializer.errors import OfflineStoreUnavailable
from materializer.offline.catalog import find_table, full_name, table_name, translate_errors
from materializer.offline.files import CHUNK, new_name
from materializer.sql import quoted_list, temporary_folder

# One lookup reads and decodes one row group: 10,240 rows take 1.4 ms, 50,000 take 4 ms, and the
# files are no smaller for it. A multiple of DuckDB's 2,048-row vectors.
ROW_GROUP = 10_240
# The sorter passes so many rows to the writer at a time; both hold one piece in memory.
_PIECE = 20 * ROW_GROUP
# A larger day becomes several files, so that no footer grows without bound [rows].
FILE_ROWS = 25 * _PIECE
# The sorter spills to disk beyond this.
SORTER_MEMORY = "1GB"

# A publish adds one manifest or two, and planning a read opens each (4 ms). So many are merged.
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

    Yields:
        Record batches of up to 204,800 rows; memory stays within the sorter's limit.
    """
    raised: list[Exception] = []

    def watched_batches() -> Iterator[Any]:
        try:
            yield from batches
        except Exception as error:
            raised.append(error)
            raise

    connection.register("unsorted", pa.RecordBatchReader.from_batches(schema, watched_batches()))
    try:
        query = f"select * from unsorted order by {quoted_list(by)}"
        yield from connection.sql(query).to_arrow_reader(_PIECE)
    except duckdb.Error:
        # DuckDB reports what the batches raise as text; the caller needs the error itself.
        if raised:
            raise raised[0] from None
        raise


def write_files(
    table: Table, batches: Iterable[Any], *, keys: Sequence[str] = (), folder: str = ""
) -> list[DataFile]:
    """
    Write sorted record batches as Parquet files under a table's data path.

    Args:
        table: Where to.
        batches: Rows of one partition, sorted, in the table's columns.
        keys: Columns whose values hardly repeat; they get no dictionary.
        folder: Relative folder, such as `day=2024-01-01/`.

    Returns:
        The files with their statistics, not yet in any snapshot; none without rows. After an error
        there are none.
    """
    files: list[DataFile] = []
    schema = table.schema().as_arrow()
    new_writer = partial(
        pq.ParquetWriter,
        schema=schema,
        write_page_checksum=True,
        compression="zstd",
        use_dictionary=[name for name in schema.names if name not in keys],
        store_schema=False,
        store_decimal_as_integer=True,
    )
    with delete_on_error(table.io) as paths, temporary_folder() as scratch:
        # The name has the checksums, so the file must be finished before it is named.
        fresh = scratch / "fresh.parquet"
        for _, pieces in groupby(_numbered(batches), key=itemgetter(0)):
            with new_writer(fresh) as writer:
                for _, piece in pieces:
                    writer.write_batch(piece.cast(schema), row_group_size=ROW_GROUP)
            path = table.location_provider().new_data_location(folder + new_name(fresh))
            paths.append(path)
            with fresh.open("rb") as source, table.io.new_output(path).create() as sink:
                shutil.copyfileobj(source, sink, CHUNK)
            files.append(_describe(table, path, writer.writer.metadata))
    return files


def _numbered(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield each batch that has rows with the number of its file."""
    rows = 0
    for batch in batches:
        if batch.num_rows:
            yield rows // FILE_ROWS, batch
            rows += batch.num_rows


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


@contextmanager
def delete_on_error(io: FileIO) -> Iterator[list[str]]:
    """Yield an empty list; the files whose paths are in it are deleted when the block raises."""
    paths: list[str] = []
    try:
        yield paths
    except BaseException:
        # A file that cannot be deleted stays, in no snapshot.
        _delete(io, paths)
        raise


def _delete(io: FileIO, paths: Iterable[str]) -> None:
    for path in paths:
        with suppress(OSError):
            io.delete(path)


def open_table(
    catalog: Catalog,
    name: str,
    schema: Schema,
    spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
) -> Table:
    """Load a table, or create it when there is none with a snapshot."""
    table = find_table(catalog, name)
    if table is not None and table.current_snapshot() is not None:
        return table
    with translate_errors(name):
        # A killed first publish leaves a table without a snapshot, perhaps of an older contract.
        if table is not None:
            catalog.drop_table(name)
        return catalog.create_table(name, schema, partition_spec=spec, properties=TABLE_PROPERTIES)


def commit(
    table: Table,
    *,
    add: Iterable[DataFile],
    remove: Iterable[DataFile],
    snapshot_properties: Mapping[str, str],
    properties: Mapping[str, str],
) -> Snapshot:
    """
    Add files, remove files and set the table's *properties* in one commit, and refresh the table.

    Raises:
        OfflineStoreUnavailable: Another writer committed in between, or the catalog is gone.
    """
    kept = dict(snapshot_properties)
    with translate_errors(full_name(table)), table.transaction() as transaction:
        changed = {k: v for k, v in properties.items() if table.properties.get(k) != v}
        if changed:
            transaction.set_properties(changed)
        with transaction.update_snapshot(snapshot_properties=kept).overwrite() as overwrite:
            for file in add:
                overwrite.append_data_file(file)
            for file in remove:
                overwrite.delete_data_file(file)
        head = transaction.table_metadata.current_snapshot()
        if head is not None and len(head.manifests(table.io)) >= MANIFESTS:
            # PyIceberg merges manifests when it appends (even nothing), not when it overwrites.
            with transaction.update_snapshot(snapshot_properties=kept).merge_append():
                pass
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot


def set_schema(table: Table, schema: Schema) -> None:
    """
    Give a table exactly the columns of *schema*, in its order.

    Snapshots keep the columns they were written with. A column of the same name and type keeps its
    id; one of another type is a new column.
    """
    new = {field.name: field.field_type for field in schema.fields}
    old = {field.name: field.field_type for field in table.schema().fields}
    if [*new.items()] == [*old.items()]:
        return
    with translate_errors(full_name(table)):
        with table.update_schema(allow_incompatible_changes=True) as change:
            for name in old:
                if new.get(name) != old[name]:
                    change.delete_column((name,))
            for name in new:
                if new[name] != old.get(name):
                    change.add_column((name,), new[name])
        with table.update_schema(allow_incompatible_changes=True) as change:
            for name in reversed(new):
                change.move_first((name,))


def expire_snapshots(table: Table, *, keep: int) -> None:
    """Expire all but the newest snapshots of a table, and delete the files that only those had."""
    snapshots = sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    old, kept = snapshots[:-keep], snapshots[-keep:]
    if not old:
        return
    with translate_errors(full_name(table)):
        kept_paths = {path for snapshot in kept for path in _paths(table, snapshot)}
        old_paths = {path for snapshot in old for path in _paths(table, snapshot)}
        table.maintenance.expire_snapshots().by_ids([s.snapshot_id for s in old]).commit()
        _delete(table.io, old_paths - kept_paths)


def _paths(table: Table, snapshot: Snapshot) -> Iterator[str]:
    yield snapshot.manifest_list
    for manifest in snapshot.manifests(table.io):
        yield manifest.manifest_path
        for entry in manifest.fetch_manifest_entry(table.io):
            yield entry.data_file.file_path


def tag_snapshots(catalog: Catalog, tag: str, snapshots: Mapping[str, int]) -> None:
    """
    Tag one snapshot of each of several tables, one commit a table, in the given order.

    No Iceberg engine expires a tagged snapshot. The tag ends in a hash of what is tagged, so no two
    receipts share one.
    """
    for name, snapshot_id in snapshots.items():
        table = find_table(catalog, table_name(name))
        if table is None:
            raise OfflineStoreUnavailable(table_name(name), "it was dropped a moment ago")
        with translate_errors(table_name(name)), table.manage_snapshots() as change:
            change.create_tag(snapshot_id, tag)
