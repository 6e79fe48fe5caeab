"""
The rows of one or many entities, read from sorted Parquet files, one row group at a time.

Responsible for the cache of footers, bounded in bytes; a file never changes. Does not keep rows:
memory does not grow with the number of entities that are looked up.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io import FileIO

from materializer.offline.files import open_parquet, read_footer

# What a key column holds, as Parquet's statistics give it; a string as its UTF-8 bytes.
KeyPart: TypeAlias = "bytes | int | date"
Key: TypeAlias = "tuple[KeyPart, ...]"
# Smallest and largest value of one column in one row group, None when Parquet does not say.
Bounds: TypeAlias = "tuple[Any, Any] | None"

FOOTER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Footer:
    """
    The footer of one data file.

    Attributes:
        metadata: Parquet's own, so that opening the file need not read it again.
        bounds: For each row group, the bounds of each key column.
    """

    metadata: Any
    bounds: tuple[tuple[Bounds, ...], ...]

    @property
    def size(self) -> int:
        """The memory it takes [bytes]: about five times its serialized size."""
        return 5 * int(self.metadata.serialized_size)

    def candidates(self, key: Key) -> list[int]:
        """List the row groups that may hold a key: mostly one, as files are sorted."""
        return [
            number
            for number, bounds in enumerate(self.bounds)
            if all(b is None or b[0] <= part <= b[1] for b, part in zip(bounds, key, strict=True))
        ]


class RowFinder:
    """Finds the rows of entities in data files. Safe for threads."""

    def __init__(self, *, footer_bytes: int = FOOTER_BYTES) -> None:
        # Beyond this the least recently used footers are dropped [bytes].
        self._limit = footer_bytes
        self._footers: OrderedDict[str, Footer] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(
        self, io: FileIO, paths: Sequence[str], columns: Sequence[str], keys: Collection[Key]
    ) -> dict[Key, list[dict[str, Any]]]:
        """
        Return the rows of each key that has any, as Python values in file order.

        Each file is opened once, each row group read once. The files have one schema; *columns* are
        the key columns.
        """
        rows_by_key: dict[Key, list[dict[str, Any]]] = {}
        for path in paths:
            footer = self._footer(io, path, columns)
            groups: dict[int, list[Key]] = {}
            for key in keys:
                for group in footer.candidates(key):
                    groups.setdefault(group, []).append(key)
            if not groups:
                continue
            with open_parquet(io, path, footer.metadata) as file:
                for group in sorted(groups):
                    rows = file.read_row_group(group, use_threads=False)
                    _gather(rows, columns, groups[group], rows_by_key)
        return rows_by_key

    def _footer(self, io: FileIO, path: str, columns: Sequence[str]) -> Footer:
        with self._lock:
            footer = self._footers.get(path)
            if footer is not None:
                self._footers.move_to_end(path)
                return footer
        metadata = read_footer(io, path)
        numbers = [metadata.schema.names.index(name) for name in columns]
        bounds = tuple(
            tuple(_bounds(metadata.row_group(group).column(n).statistics) for n in numbers)
            for group in range(metadata.num_row_groups)
        )
        footer = Footer(metadata, bounds)
        with self._lock:
            if path not in self._footers:
                self._footers[path] = footer
                self._bytes += footer.size
            while self._bytes > self._limit and len(self._footers) > 1:
                _, dropped = self._footers.popitem(last=False)
                self._bytes -= dropped.size
        return footer


def _bounds(statistics: Any) -> Bounds:
    # Arrow writes none for values over 4 kB; then the row group may hold anything.
    if statistics is None or not statistics.has_min_max:
        return None
    if statistics.physical_type == "BYTE_ARRAY":
        return statistics.min_raw, statistics.max_raw
    return statistics.min, statistics.max


def _gather(
    rows: pa.Table, columns: Sequence[str], keys: Sequence[Key], rows_by_key: dict[Key, list[Any]]
) -> None:
    # First by each column alone, which lets a few rows too many through when a key has several.
    for name, parts in zip(columns, zip(*keys, strict=True), strict=True):
        column = rows.column(name)
        values = pa.array([_value(part) for part in set(parts)], column.type)
        # With one value, as in a single lookup, comparing is faster.
        same = pc.equal(column, values[0]) if len(values) == 1 else pc.is_in(column, values)
        rows = rows.filter(same)
    by_values = {tuple(_value(part) for part in key): key for key in keys}
    for row in rows.to_pylist():
        key = by_values.get(tuple(row[name] for name in columns))
        if key is not None:
            rows_by_key.setdefault(key, []).append(row)


def _value(part: KeyPart) -> str | int | date:
    return part.decode() if isinstance(part, bytes) else part
