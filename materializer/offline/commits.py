"""
Commits whose outcome is not known.

Responsible for looking before a commit is called failed: a lost reply, or one that a proxy repeats,
is reported as an error or as a conflict, and the commit may have landed all the same. PyIceberg
takes a conflict for certain and deletes the manifests of the snapshot, which then nobody can read.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias, TypeVar

from pyiceberg.catalog import Catalog
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    RemoveSnapshotsUpdate,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
)

from materializer.errors import CommitFailed

_Commit: TypeAlias = Callable[
    [Table, tuple[TableRequirement, ...], tuple[TableUpdate, ...]], CommitTableResponse
]
_Catalog = TypeVar("_Catalog", bound=Catalog)


def look_before_failing(catalog: _Catalog) -> _Catalog:
    """Return the catalog, which now looks whether a commit landed before it reports a failure."""
    # Every commit of a table, whoever makes it, goes through this method of its catalog.
    catalog.commit_table = partial(_commit, catalog, catalog.commit_table)  # type: ignore[method-assign]
    return catalog


def _commit(
    catalog: Catalog,
    commit: _Commit,
    table: Table,
    requirements: tuple[TableRequirement, ...],
    updates: tuple[TableUpdate, ...],
) -> CommitTableResponse:
    try:
        return commit(table, requirements, updates)
    except Exception as error:
        with suppress(Exception):
            now = catalog.load_table(table.name())
            if _landed(updates, now.metadata):
                return CommitTableResponse.model_validate(
                    {"metadata": now.metadata, "metadata-location": now.metadata_location}
                )
        # Not PyIceberg's own error, after which it deletes. What no snapshot has is never read.
        raise CommitFailed(".".join(table.name()), error) from error


def _landed(updates: tuple[TableUpdate, ...], now: TableMetadata) -> bool:
    """Return whether a table has what a commit adds; false if it adds nothing that has an id."""
    added = [u.snapshot.snapshot_id for u in updates if isinstance(u, AddSnapshotUpdate)]
    if added:
        # Another writer may have committed on top of it since.
        return all(now.snapshot_by_id(snapshot_id) is not None for snapshot_id in added)
    tags = [u for u in updates if isinstance(u, SetSnapshotRefUpdate)]
    if tags:
        found = {name: ref.snapshot_id for name, ref in now.refs.items()}
        return all(found.get(tag.ref_name) == tag.snapshot_id for tag in tags)
    expired = [i for u in updates if isinstance(u, RemoveSnapshotsUpdate) for i in u.snapshot_ids]
    return bool(expired) and all(now.snapshot_by_id(gone) is None for gone in expired)
