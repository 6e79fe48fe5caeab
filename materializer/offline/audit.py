"""
The audit of published files: are they what was written?

Responsible for reading every data file that a table still needs: of its current snapshot, and of
those that receipts have tagged. Does not repair; a publish of the day does.
"""

from __future__ import annotations

from pyiceberg.catalog import Catalog

from materializer.offline.catalog import (
    find_table,
    full_name,
    spans_name,
    table_name,
    translate_errors,
)
from materializer.offline.files import damage
from materializer.offline.read import data_files


def audit(catalog: Catalog, name: str) -> tuple[int, list[str]]:
    """Read the files of a group or another model; return how many, and what is wrong with some."""
    checked: set[str] = set()
    damaged: list[str] = []
    for table in filter(
        None, (find_table(catalog, n) for n in (table_name(name), spans_name(name)))
    ):
        with translate_errors(full_name(table)):
            kept = {ref.snapshot_id for ref in table.refs().values()}
            paths = {file.file_path for snapshot in kept for file in data_files(table, snapshot)}
            damaged += filter(None, (damage(table.io, path) for path in sorted(paths)))
            checked |= paths
    return len(checked), damaged
