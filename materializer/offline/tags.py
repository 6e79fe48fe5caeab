"""
Tags: names that keep snapshots for as long as somebody may ask for them.

Owns that a receipt never names a snapshot that may expire: every expiry of Iceberg, here or in
another engine, leaves tagged snapshots alone. Refuses to move a tag that a receipt may rest on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyiceberg.catalog import Catalog

from materializer.errors import OfflineStoreUnavailable
from materializer.offline.catalog import find_table, table_name, translate_errors


def unused_tag(catalog: Catalog, name: str, wanted: str, taken: Collection[str]) -> str:
    """
    Find a tag that no receipt rests on.

    Args:
        catalog: Holds the table, if anything does.
        name: The table, without the namespace.
        wanted: The tag; when it is taken, `-2`, `-3` and so on is added.
        taken: Tags that are taken beside those of the table.

    Raises:
        OfflineStoreUnavailable: The catalog cannot be read.
    """
    table = find_table(catalog, table_name(name))
    refs = {} if table is None else table.metadata.refs
    tag, number = wanted, 1
    while tag in refs or tag in taken:
        number += 1
        tag = f"{wanted}-{number}"
    return tag


def tag_snapshots(catalog: Catalog, tag: str, snapshots: Mapping[str, int]) -> None:
    """
    Tag one snapshot of each of several tables, one commit a table, in the given order.

    A tag of that name is moved: only a publish that was killed before its receipt has left one.

    Args:
        catalog: Holds the tables.
        tag: The name, the same everywhere.
        snapshots: Table, without the namespace -> its snapshot. The last one makes the tag taken,
            see `unused_tag`.

    Raises:
        OfflineStoreUnavailable: The catalog cannot be read or written.
    """
    for name, snapshot_id in snapshots.items():
        table = find_table(catalog, table_name(name))
        if table is None:
            raise OfflineStoreUnavailable(table_name(name), "it was dropped a moment ago")
        with translate_errors(table_name(name)), table.manage_snapshots() as change:
            change.create_tag(snapshot_id, tag)
