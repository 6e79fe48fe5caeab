"""
Commits: the one way a table of the offline store changes.

Owns that a change is a single atomic commit with a single new snapshot, and that metadata stays
bounded however often one publishes. Refuses to write rows: files come ready from `files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Snapshot

from materializer.offline.catalog import find_table, translate_errors
from materializer.offline.files import MANIFESTS, TABLE_PROPERTIES


def open_table(
    catalog: Catalog,
    name: str,
    schema: Schema,
    spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
) -> Table:
    """
    Load a table, and create it when it holds nothing yet.

    A table without a snapshot is what a killed first publish leaves; it is made anew, as the
    contract may have changed since.

    Raises:
        OfflineStoreUnavailable: The catalog cannot be read or written.
    """
    table = find_table(catalog, name)
    if table is not None and table.current_snapshot() is not None:
        return table
    with translate_errors(name):
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
    Take files out, put files in and set properties: all of it or nothing, as one commit.

    Args:
        table: At its current state; it is refreshed to the new one.
        add: New files.
        remove: Files of the current snapshot.
        snapshot_properties: Kept with the new snapshot.
        properties: Table properties to set.

    Returns:
        The new snapshot.

    Raises:
        OfflineStoreUnavailable: Someone else committed in between, or the catalog is gone.
    """
    with translate_errors(".".join(table.name())), table.transaction() as transaction:
        changed = {k: v for k, v in properties.items() if table.properties.get(k) != v}
        if changed:
            transaction.set_properties(changed)
        update = transaction.update_snapshot(snapshot_properties=dict(snapshot_properties))
        with update.overwrite() as overwrite:
            for file in add:
                overwrite.append_data_file(file)
            for file in remove:
                overwrite.delete_data_file(file)
        _merge_manifests(table, transaction, snapshot_properties)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot


def set_schema(table: Table, schema: Schema) -> None:
    """
    Give a table exactly the columns of *schema*, in its order, as one commit of its own.

    Snapshots keep the columns they were written with. A column that stays keeps its id; one whose
    type is another is a new one.

    Raises:
        OfflineStoreUnavailable: The catalog cannot be written.
    """
    wanted = {field.name: field.field_type for field in schema.fields}
    there = {field.name: field.field_type for field in table.schema().fields}
    if [*wanted.items()] == [*there.items()]:
        return
    with (
        translate_errors(".".join(table.name())),
        table.update_schema(allow_incompatible_changes=True) as change,
    ):
        for name, type_ in there.items():
            if wanted.get(name) != type_:
                change.delete_column((name,))
        for name, type_ in wanted.items():
            if there.get(name) != type_:
                change.add_column((name,), type_)
    with (
        translate_errors(".".join(table.name())),
        table.update_schema(allow_incompatible_changes=True) as change,
    ):
        for name in reversed(wanted):
            change.move_first((name,))


def _merge_manifests(
    table: Table, transaction: Transaction, snapshot_properties: Mapping[str, str]
) -> None:
    head = transaction.table_metadata.current_snapshot()
    if head is None or len(head.manifests(table.io)) < MANIFESTS:
        return
    # An append of nothing: PyIceberg merges manifests when it appends, not when it overwrites.
    update = transaction.update_snapshot(snapshot_properties=dict(snapshot_properties))
    with update.merge_append():
        pass


def retire(table: Table, *, keep: int) -> None:
    """
    Forget all but the newest snapshots of a table, and delete the files that only those had.

    For derived data alone: what is forgotten cannot be travelled back to.

    Args:
        table: At its current state.
        keep: Snapshots that stay, the current one among them.

    Raises:
        OfflineStoreUnavailable: The store cannot be read or written.
    """
    snapshots = sorted(table.snapshots(), key=lambda snapshot: snapshot.sequence_number or 0)
    old, kept = snapshots[:-keep], snapshots[-keep:]
    if not old:
        return
    with translate_errors(".".join(table.name())):
        stays = {path for snapshot in kept for path in _paths(table, snapshot)}
        goes = {path for snapshot in old for path in _paths(table, snapshot)} - stays
        table.maintenance.expire_snapshots().by_ids([s.snapshot_id for s in old]).commit()
        for path in goes:
            with suppress(OSError):
                table.io.delete(path)


def _paths(table: Table, snapshot: Snapshot) -> Iterator[str]:
    yield snapshot.manifest_list
    for manifest in snapshot.manifests(table.io):
        yield manifest.manifest_path
        for entry in manifest.fetch_manifest_entry(table.io):
            yield entry.data_file.file_path
