"""
Tags: names that keep snapshots.

Responsible for tagging what a receipt names, since every expiry of Iceberg, here or in another
engine, leaves tagged snapshots alone. Does not remove a tag.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyiceberg.catalog import Catalog

from materializer.errors import OfflineStoreUnavailable
from materializer.offline.catalog import find_table, table_name, translate_errors


def tag_snapshots(catalog: Catalog, tag: str, snapshots: Mapping[str, int]) -> None:
    """
    Tag one snapshot of each of several tables, one commit a table, in the given order.

    Args:
        catalog: Holds the tables.
        tag: The name, the same everywhere. It ends in a hash of what is tagged, so it is never
            another receipt's.
        snapshots: Table, without the namespace -> its snapshot.

    Raises:
        OfflineStoreUnavailable: The catalog cannot be read or written.
    """
    for name, snapshot_id in snapshots.items():
        table = find_table(catalog, table_name(name))
        if table is None:
            raise OfflineStoreUnavailable(table_name(name), "it was dropped a moment ago")
        with translate_errors(table_name(name)), table.manage_snapshots() as change:
            change.create_tag(snapshot_id, tag)
