"""
What `materializer status` notes on a published model: its warehouse, and the version of a view.

Responsible for these parts of a document, and the lines that they become. Does not print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.errors import as_ours
from materializer.offline.snapshot import published_definitions
from materializer.training.files import TrainingFiles
from materializer.training.publish import other_warehouse
from materializer.views.versions import read_versions

# What `--json` prints, with the values that the text is made of.
Document = dict[str, Any]
# A label and what it says; further lines are indented.
Line = tuple[str, str]

Store = TypeVar("Store")
Value = TypeVar("Value")


def read_or_explain(store: Store | str, read: Callable[[Store], Value]) -> Value | str:
    """Read from a store; return why it cannot be read, or, given a problem as the store, that."""
    if isinstance(store, str):
        return store
    try:
        return read(store)
    except Exception as error:  # noqa: BLE001 - a store that fails must not hide the others
        return str(as_ours(error))


def published_warehouse(
    name: str, own: str, catalog: Catalog | str, settings: Settings
) -> Document:
    """Return the id of this warehouse, empty if unknown, and of another that published a model."""
    if not own:
        return {"warehouse": None, "other_warehouse": None}
    files = TrainingFiles(settings.home / "training", name)
    other = read_or_explain(catalog, lambda store: other_warehouse(own, store, files))
    return {"warehouse": own, "other_warehouse": other}


def warehouse_lines(document: Document) -> Iterator[Line]:
    """Yield a line if another warehouse published a model."""
    if other := document["other_warehouse"]:
        own = document["warehouse"]
        yield (
            "warehouse",
            f"published from another, {other}; this is {own}: see publish --take-over",
        )


def newest_version(view: str, catalog: Catalog | str) -> Document:
    """Return the newest version of a view, and the groups whose change keeps it from serving."""

    def read(store: Catalog) -> Document | None:
        versions = [version for version in read_versions(store) if version.view == view]
        if not versions:
            return None
        outdated = versions[-1].to_version().outdated_groups(published_definitions(store))
        return {"version": versions[-1].version, "outdated_groups": outdated}

    found = read_or_explain(catalog, read)
    return found if isinstance(found, dict) else {"version": None, "outdated_groups": []}


def version_lines(document: Document) -> Iterator[Line]:
    """Yield a line on the version of a view that was published."""
    if version := document.get("version"):
        groups = ", ".join(document["outdated_groups"])
        note = f"; not served, {groups} has another definition now" if groups else ""
        yield "version", f"{version}{note}"
