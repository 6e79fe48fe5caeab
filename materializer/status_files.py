"""
The files in `materializer status --check-files`: how many were checked, and which are damaged.

Responsible for the part of a document and its line. Does not read files: see `offline.audit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyiceberg.catalog import Catalog

from materializer.errors import as_ours
from materializer.offline.audit import audit


def file_document(name: str, catalog: Catalog | str, *, check: bool) -> dict[str, Any]:
    """Check the files of a group or another model; *catalog* may be why there is none."""
    if not check:
        return {}
    try:
        checked, damaged = (0, [catalog]) if isinstance(catalog, str) else audit(catalog, name)
    except Exception as error:  # noqa: BLE001 - a table that fails must not hide the others
        checked, damaged = 0, [str(as_ours(error))]
    return {"files": {"checked": checked, "damaged": damaged}}


def file_lines(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the line about the files, if they were checked."""
    if files := document.get("files"):
        yield "files", "\n".join([f"{files['checked']:,} checked", *files["damaged"]])


def is_damaged(document: Mapping[str, Any]) -> bool:
    """Return whether a file was checked and is damaged."""
    return bool(document.get("files", {}).get("damaged"))
