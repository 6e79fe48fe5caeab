"""
The published versions of the feature views.

Responsible for their table. A version never changes; when the same parameters are fitted again, it
becomes the newest again. Does not make vectors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

import pyarrow as pa
from pyiceberg.catalog import Catalog

from materializer.offline.catalog import (
    find_table,
    metadata_location,
    table_name,
    translate_errors,
)
from materializer.offline.publish import publish_table
from materializer.offline.read import data_files, read_files
from materializer.offline.schema import iceberg_schema
from materializer.registry import Column
from materializer.views.definition import ViewVersion

# No model can have this name: none that is published begins with an underscore.
VERSIONS = "_feature_views"

_COLUMNS = (
    Column("view", "string"),
    Column("version", "string"),
    Column("fitted_at", "timestamp"),
    Column("training_tag", "string"),
    Column("document", "string"),
)


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """
    One version of one view, as it is published.

    Attributes:
        fitted_at: Clock of the last publish of this version [UTC, naive].
        training_tag: Tag of the training set on whose rows it was fitted.
        document: The version's text.
    """

    view: str
    version: str
    fitted_at: datetime
    training_tag: str
    document: str

    def to_version(self) -> ViewVersion:
        """Return the version itself."""
        return ViewVersion.from_text(self.document)


def read_versions(catalog: Catalog) -> list[PublishedVersion]:
    """
    Read every published version, the newest of a view last.

    Raises:
        OfflineStoreUnavailable: The store cannot be read.
    """
    table = find_table(catalog, table_name(VERSIONS))
    if table is None or table.current_snapshot() is None:
        return []
    with translate_errors(table_name(VERSIONS)):
        names = [column.name for column in _COLUMNS]
        rows = read_files(table, data_files(table), names).read_all().to_pylist()
    return sorted(
        (PublishedVersion(**row) for row in rows),
        key=lambda version: (version.view, version.fitted_at),
    )


class VersionCache:
    """Every published version, read again only when there was a commit."""

    def __init__(self) -> None:
        self._location: str | None = None
        self._versions: list[PublishedVersion] = []

    def read(self, catalog: Catalog) -> list[PublishedVersion]:
        """Return what `read_versions` returns, or raise what it raises."""
        location = metadata_location(catalog, table_name(VERSIONS))
        if location != self._location:
            self._versions, self._location = read_versions(catalog), location
        return self._versions


def record_version(
    catalog: Catalog, new: PublishedVersion, *, keep: int | None
) -> list[PublishedVersion]:
    """
    Make a version the newest of its view, and delete the oldest beyond *keep*, if that is not None.

    Returns:
        The versions of the view that were deleted.
    """
    others, earlier = [], []
    for version in read_versions(catalog):
        if version.view != new.view:
            others.append(version)
        elif version.version != new.version:
            earlier.append(version)
    # What was fitted last is the newest, even if the clock was set back.
    after = [version.fitted_at + timedelta(microseconds=1) for version in earlier]
    newest = replace(new, fitted_at=max([new.fitted_at, *after]))
    kept = [*earlier, newest][-keep:] if keep else [*earlier, newest]
    schema = iceberg_schema(_COLUMNS).as_arrow()
    rows = pa.Table.from_pylist([asdict(version) for version in [*others, *kept]], schema=schema)
    publish_table(catalog, VERSIONS, rows, columns=_COLUMNS, snapshot_properties={})
    return [version for version in earlier if version not in kept]
