"""
Receipts: all that is needed to build a training set again.

Responsible for the one form of a receipt, and for its tag, which ends in a hash of everything else
in it: every snapshot that it names carries that tag, so a receipt that was changed has a tag that
the store does not know. Does not open a store.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, ValidationError

from materializer.days import DayRange
from materializer.errors import ReceiptUnreadable
from materializer.registry import Column
from materializer.training.csv_file import Dialect

# Nobody can make another receipt with the tag of one that the store knows.
_HEX_DIGITS = 32

# Some JSON readers parse every number as a double, which cannot hold a snapshot id.
SnapshotId = Annotated[int, PlainSerializer(str, when_used="json")]
# Which of the two forms of `warehouse.checksum` a checksum has.
Hash = Literal["md5", "duckdb"]
Checksum = Annotated[str, Field(pattern=r"^\d+:\d+$")]
# Its type is the contract's or, without a contract, DuckDB's.
ColumnType = Annotated[
    Column, PlainSerializer(lambda column: {"name": column.name, "type": column.type})
]
BuiltDays = Annotated[
    DayRange,
    BeforeValidator(lambda days: DayRange.from_text(days) if isinstance(days, str) else days),
    PlainSerializer(str),
]
# The file is next to the receipt.
FileName = Annotated[str, Field(pattern=r"^[^/]*[^/.][^/]*$")]


class InputTable(BaseModel, frozen=True, extra="forbid"):
    """
    One published table that a training set was built from.

    Attributes:
        name: Table of the offline store, without the namespace.
        relation: Quoted relation by which the SQL reads it, None when it does not.
        model: dbt's id of the group's model, None for labels.
        on: Key column of the group -> the label column that it was compared with; empty where the
            SQL of a dbt model says so.
        columns: Every column, in the order in which the checksum was computed.
        checksum: Of its rows, None for a set made on demand, which does not read them all.
    """

    name: str
    snapshot_id: SnapshotId
    relation: str | None
    model: str | None = None
    on: dict[str, str] = {}
    columns: tuple[ColumnType, ...]
    hash: Hash = "duckdb"
    checksum: Checksum | None = None
    built_days: tuple[BuiltDays, ...] = ()


class InputFile(BaseModel, frozen=True, extra="forbid"):
    """
    The label file of a set made on demand.

    Attributes:
        path: Absolute.
        time: The column of times.
        dialect: How a CSV file is written, None of a Parquet file.
    """

    path: str
    sha256: str
    relation: str
    time: str
    dialect: Dialect | None = None


class Receipt(BaseModel, frozen=True, extra="forbid"):
    """
    What one training set was made of.

    docs/reference/records.md has the meaning of each field. A set made on demand has no name, no
    snapshot of its own, and nothing about a dbt build. The labels are the first input.
    """

    training_set: str | None = None
    tag: str = ""
    parts: dict[str, str] = {}
    rows: int
    hash: Hash
    checksum: Checksum
    snapshot_id: SnapshotId | None = None
    parquet: FileName
    parquet_sha256: str
    store_id: str
    duckdb: str
    version: str
    written_at: str
    warehouse_id: str | None = None
    ledger_sequence: int | None = None
    build_id: str | None = None
    manifest_sha256: str | None = None
    git_sha: str | None = None
    parameter_version: str | None = None
    vars: dict[str, Any] | None = None
    ledger_relation: str | None = None
    label_file: InputFile | None = None
    inputs: tuple[InputTable, ...]
    columns: tuple[ColumnType, ...]
    sql: str

    @property
    def snapshots(self) -> dict[str, int]:
        """Every snapshot by the name of its table: the set's own first, then the inputs'."""
        tables = {table.name: table.snapshot_id for table in self.inputs}
        if self.training_set is None or self.snapshot_id is None:
            return tables
        return {self.training_set: self.snapshot_id, **tables}

    def sealed(self) -> Receipt:
        """Return the receipt with the hashes of its parts, and with the tag that belongs to it."""
        receipt = self.model_copy(update={"parts": self._hash_parts()})
        return receipt.model_copy(update={"tag": receipt._expected_tag()})

    def changed_part(self) -> str | None:
        """Return the first part that was changed: a field, an input or its built days; or None."""
        for name, digest in self._hash_parts().items():
            if self.parts.get(name) != digest:
                return name
        return None if self.tag == self._expected_tag() else "tag"

    def to_json(self) -> str:
        """Return the receipt as text, for people and machines."""
        return self.model_dump_json(indent=2) + "\n"

    def _hash_parts(self) -> dict[str, str]:
        parts = self.model_dump(mode="json", exclude={"tag", "parts"})
        for table in parts.pop("inputs"):
            parts[f"built days of {table['name']}"] = table.pop("built_days")
            parts[table["name"]] = table
        return {name: _digest(part) for name, part in parts.items()}

    def _expected_tag(self) -> str:
        # A hash of everything, not of the hashes: two inputs of one name would share a hash.
        digest = _digest(self.model_dump(mode="json", exclude={"tag"}))
        if self.training_set is None:
            return f"training-set-{digest}"
        return f"{self.training_set}-{self.ledger_sequence}-{digest}"


def read_receipt(path: Path) -> Receipt:
    """
    Read a receipt.

    Raises:
        ReceiptUnreadable: There is no such file, or it is not a receipt.
    """
    try:
        receipt = Receipt.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReceiptUnreadable(path, "there is no such file") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        problem = f"it is not a receipt ({where}{first['msg']})"
        raise ReceiptUnreadable(path, problem) from error
    except (OSError, ValueError) as error:
        raise ReceiptUnreadable(path, str(error)) from error
    if not receipt.checksum.startswith(f"{receipt.rows}:"):
        raise ReceiptUnreadable(path, "it contradicts itself: rows and checksum count differently")
    return receipt


def _digest(part: Any) -> str:
    text = json.dumps(part, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]
