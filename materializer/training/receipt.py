"""
Receipts: all that is needed to build a training set again.

Responsible for the one form of a receipt, whether dbt built the set or `materializer training-set`
made it, and for its tag, which ends in a hash of everything else in it. Every snapshot that a
receipt names carries that tag, so a receipt that was changed has a tag that the store does not
know. Does not open a store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError

from materializer.errors import ReceiptUnreadable
from materializer.registry import Column

_HEX_DIGITS = 16

# Some JSON readers parse every number as a double, which cannot hold a snapshot id.
SnapshotId = Annotated[int, PlainSerializer(str, when_used="json")]
# Which of the two forms of `warehouse.checksum` a checksum has.
Hash = Literal["md5", "duckdb"]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnType(_Form):
    """One column: its name, and its type in the contract or, without a contract, in DuckDB."""

    name: str
    type: str


class InputTable(_Form):
    """
    One published table that a training set was built from.

    Attributes:
        name: Table of the offline store, without the namespace.
        snapshot_id: Iceberg snapshot of its rows.
        relation: Quoted relation by which the SQL reads it, None when it does not.
        model: dbt's id of the group's model, None for labels.
        on: Key column of the group -> the label column that it was compared with; empty where the
            SQL of a dbt model says so.
        columns: Every column, in the order in which the checksum was computed.
        hash: Form of the checksum.
        checksum: Checksum of the rows, None for a set made on demand, which does not read them all.
        built_days: Days of the group that were built, as ranges.
    """

    name: str
    snapshot_id: SnapshotId
    relation: str | None
    model: str | None = None
    on: dict[str, str] = {}
    columns: tuple[ColumnType, ...]
    hash: Hash = "duckdb"
    checksum: str | None = None
    built_days: tuple[str, ...] = ()


class InputFile(_Form):
    """
    The label file of a set made on demand.

    Attributes:
        path: Where it is, absolute.
        sha256: Its SHA-256.
        relation: Quoted relation by which the SQL reads it.
        time: Its column of times.
    """

    path: str
    sha256: str
    relation: str
    time: str


class Receipt(_Form):
    """
    What one training set was made of.

    Attributes:
        training_set: Name of the training set or feature view, None when it was made on demand.
        tag: Name of this set, and of the tags on its snapshots; see `sealed`.
        rows: Number of rows.
        hash: Form of the checksum.
        checksum: Checksum of the rows.
        snapshot_id: Iceberg snapshot of the set itself, None when it was made on demand.
        parquet: Name of its Parquet file.
        parquet_sha256: SHA-256 of that file.
        store_id: The offline store of the snapshots.
        duckdb: Version of DuckDB that wrote it.
        version: Version of this project that wrote it.
        written_at: When it was written.
        warehouse_id, ledger_sequence, build_id, manifest_sha256, git_sha: The dbt build; None when
            it was made on demand.
        parameter_version: Version of a feature view's parameters.
        vars: The vars of the dbt command, and those of the project.
        ledger_relation: Quoted relation of the build ledger, from which the SQL may read the built
            days.
        label_file: The labels of a set made on demand.
        inputs: The published tables, the labels first.
        columns: Its columns, in order.
        sql: The query that builds the set from its inputs.
    """

    training_set: str | None = None
    tag: str = ""
    rows: int
    hash: Hash
    checksum: str
    snapshot_id: SnapshotId | None = None
    parquet: str
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

    @property
    def expected_tag(self) -> str:
        """The tag that belongs to everything else in the receipt."""
        body = self.model_dump(mode="json", exclude={"tag"})
        text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]
        if self.training_set is None:
            return f"training-set-{digest}"
        return f"{self.training_set}-{self.ledger_sequence}-{digest}"

    def sealed(self) -> Receipt:
        """Return the receipt with the tag that belongs to it."""
        return self.model_copy(update={"tag": self.expected_tag})

    def to_json(self) -> str:
        """Return the receipt as text, for people and machines."""
        return self.model_dump_json(indent=2) + "\n"


def column_types(columns: Iterable[Column]) -> tuple[ColumnType, ...]:
    """Return columns as a receipt has them."""
    return tuple(ColumnType(name=column.name, type=column.type) for column in columns)


def read_receipt(path: Path) -> Receipt:
    """
    Read a receipt.

    Raises:
        ReceiptUnreadable: There is no such file, or it is not a receipt.
    """
    try:
        return Receipt.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReceiptUnreadable(path, "there is no such file") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        problem = f"it is not a receipt ({where}{first['msg']})"
        raise ReceiptUnreadable(path, problem) from error
    except (OSError, ValueError) as error:
        raise ReceiptUnreadable(path, str(error)) from error
