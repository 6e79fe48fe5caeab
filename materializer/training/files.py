"""
The files of a training set: its rows as Parquet, the receipt next to them, and all old receipts.

Responsible for their names, and for replacing Parquet and receipt together: each is written next to
the old one and moved over it, the receipt last. Does not overwrite an old receipt: its name ends in
a hash of its content.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from materializer.errors import ReceiptUnreadable
from materializer.training.receipt import Receipt, read_receipt


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """The files of a training set or a feature view that was published."""

    folder: Path
    name: str

    @property
    def parquet(self) -> Path:
        """The rows, as a training job reads them."""
        return self.folder / f"{self.name}.parquet"

    @property
    def receipt(self) -> Path:
        """The receipt of those rows."""
        return self.folder / f"{self.name}.receipt.json"

    def kept(self, tag: str) -> Path:
        """Return the path under which the receipt of one build is kept."""
        return self.folder / "receipts" / f"{tag}.json"

    def read(self) -> Receipt | None:
        """Read the receipt; return None when it is missing or cannot be read."""
        try:
            return read_receipt(self.receipt)
        except ReceiptUnreadable:
            return None

    def write_rows(self, rows: pa.Table) -> str:
        """Write rows next to the current ones, and return the SHA-256 of the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, self._fresh)
        return sha256_of(self._fresh)

    def show(self, receipt: Receipt) -> None:
        """Keep a receipt, and move it and the rows of `write_rows` into place."""
        kept = self.kept(receipt.tag)
        kept.parent.mkdir(exist_ok=True)
        replace_text(kept, receipt.to_json())
        show_set(self._fresh, self.parquet, self.receipt, receipt)

    @property
    def _fresh(self) -> Path:
        return self.parquet.with_suffix(".tmp")


def show_set(fresh: Path, parquet: Path, receipt_path: Path, receipt: Receipt) -> None:
    """Move a new Parquet file into place, then write its receipt."""
    # Between the two the receipt is missing, never wrong.
    receipt_path.unlink(missing_ok=True)
    fresh.replace(parquet)
    replace_text(receipt_path, receipt.to_json())


def replace_text(path: Path, text: str) -> None:
    """Write a file so that no reader sees a part of it."""
    fresh = path.with_suffix(".tmp")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
