"""
The files of a training set: its rows as Parquet, the receipt beside it, and every earlier receipt.

Owns their names, and that Parquet and receipt change together or not at all: each is written beside
the old one and moved over it, the receipt last. Refuses to write over a kept receipt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from materializer.training.receipt import Receipt

_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """
    The files of one training set.

    Attributes:
        folder: Where they are.
        name: Name of the training set.
    """

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
        """The receipt of one build, which stays."""
        return self.folder / "receipts" / f"{tag}.json"

    def tags(self) -> set[str]:
        """Tell every build of which a receipt is kept, of any training set."""
        return {path.stem for path in (self.folder / "receipts").glob("*.json")}

    def name_snapshot(self, snapshot_id: str, facts: Mapping[str, object]) -> bool:
        """Tell whether the files are those of a snapshot, with these facts in the receipt."""
        # A kill can leave older ones.
        try:
            receipt = json.loads(self.receipt.read_text(encoding="utf-8"))
            named = receipt["snapshots"][self.name] == snapshot_id
            told = {name: receipt[name] for name in facts}
        except (OSError, ValueError, KeyError):
            return False
        return self.parquet.is_file() and bool(named) and told == facts

    def current_tag(self) -> str | None:
        """Tell the build whose rows these are, None when there are none."""
        try:
            return str(json.loads(self.receipt.read_text(encoding="utf-8"))["tag"])
        except (OSError, ValueError, KeyError):
            return None

    def write_rows(self, rows: pa.Table) -> str:
        """Write the rows beside the old ones, and tell the SHA-256 of the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, self._fresh)
        return sha256_of(self._fresh)

    def show(self, receipt: Receipt) -> None:
        """Keep a receipt for good, and put it and the rows that `write_rows` wrote in place."""
        kept = self.kept(receipt.tag)
        kept.parent.mkdir(exist_ok=True)
        text = receipt.to_json()
        _replace(kept, text)
        # Between the two moves the receipt is missing, never wrong: the next publish writes both.
        self.receipt.unlink(missing_ok=True)
        self._fresh.replace(self.parquet)
        _replace(self.receipt, text)

    @property
    def _fresh(self) -> Path:
        return self.parquet.with_suffix(".tmp")


def sha256_of(path: Path) -> str:
    """Hash a file, a piece at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
