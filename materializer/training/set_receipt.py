"""
Receipts of training sets made on demand: all that is needed to make one again.

Owns the form of such a receipt. It is named by a hash of all that it says, and that name is the tag
on every snapshot that it names: a receipt that was changed is one that the store never tagged.
Refuses to know stores: it is values and text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materializer.days import DayRange
from materializer.errors import ReceiptUnreadable
from materializer.registry import Column

_TAG = "training-set-"
_HEX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Input:
    """
    One group of a training set.

    Attributes:
        name: Its name, which is that of its table and of its relation in the SQL.
        snapshot_id: Iceberg snapshot of its rows.
        on: Each key column -> the label column that was compared with it.
        columns: Every column of the group.
        built_days: Days that were built, as runs; the SQL has them too.
    """

    name: str
    snapshot_id: int
    on: Mapping[str, str]
    columns: tuple[Column, ...]
    built_days: tuple[DayRange, ...]


@dataclass(frozen=True, slots=True)
class SetReceipt:
    """
    What one training set was made of.

    Attributes:
        labels: The label file, absolute.
        labels_sha256: Its hash.
        time: Its column with the time at which something is asked.
        inputs: The groups.
        sql: The query that says what the set is; it reads `labels` and each group by its name.
        columns: DuckDB's type of each column of the set, by its name.
        content: `<rows>:<sum of DuckDB's hash of each row>`.
        parquet: Name of the file.
        parquet_sha256: Its hash.
        origin: Store id, versions, time.
    """

    labels: str
    labels_sha256: str
    time: str
    inputs: tuple[Input, ...]
    sql: str
    columns: Mapping[str, str]
    content: str
    parquet: str
    parquet_sha256: str
    origin: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Rows of the set."""
        return int(self.content.partition(":")[0])

    @property
    def tag(self) -> str:
        """The name of the set, and of the tags on its snapshots."""
        text = json.dumps(self._body(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return _TAG + hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]

    @property
    def snapshots(self) -> dict[str, int]:
        """Snapshot of each group, by its name."""
        return {one.name: one.snapshot_id for one in self.inputs}

    def to_json(self) -> str:
        """Write the receipt for people and machines."""
        return json.dumps({"tag": self.tag, **self._body()}, indent=2, ensure_ascii=False) + "\n"

    def _body(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "content": self.content,
            "labels": self.labels,
            "labels_sha256": self.labels_sha256,
            "time": self.time,
            "snapshots": {name: str(number) for name, number in self.snapshots.items()},
            **self.origin,
            "parquet": self.parquet,
            "parquet_sha256": self.parquet_sha256,
            "groups": [
                {
                    "name": one.name,
                    "on": dict(one.on),
                    "columns": [f"{column.name} {column.type}" for column in one.columns],
                    "built_days": [str(run) for run in one.built_days],
                }
                for one in self.inputs
            ],
            "columns": dict(self.columns),
            "sql": self.sql,
        }


_ORIGIN = ("store_id", "duckdb", "version", "written_at")


def read_set_receipt(path: Path) -> tuple[str, SetReceipt] | None:
    """
    Read a receipt of a training set made on demand.

    Returns:
        The tag that it says it has, and the receipt; None when the file is none of these, but
        maybe the receipt of a training set that dbt built.

    Raises:
        ReceiptUnreadable: It is one, and not whole.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(body, dict) or not str(body.get("tag")).startswith(_TAG):
        return None
    try:
        receipt = _receipt(body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReceiptUnreadable(path, "it is no receipt") from error
    # What it says twice must agree.
    if {**json.loads(receipt.to_json()), "tag": body["tag"]} != body:
        raise ReceiptUnreadable(path, "it contradicts itself")
    return str(body["tag"]), receipt


def _receipt(body: Mapping[str, Any]) -> SetReceipt:
    return SetReceipt(
        labels=body["labels"],
        labels_sha256=body["labels_sha256"],
        time=body["time"],
        inputs=tuple(_input(one, body["snapshots"]) for one in body["groups"]),
        sql=body["sql"],
        columns=dict(body["columns"]),
        content=body["content"],
        parquet=body["parquet"],
        parquet_sha256=body["parquet_sha256"],
        origin={name: body[name] for name in _ORIGIN},
    )


def _input(body: Mapping[str, Any], snapshots: Mapping[str, str]) -> Input:
    return Input(
        name=body["name"],
        snapshot_id=int(snapshots[body["name"]]),
        on=body["on"],
        columns=_columns(body["columns"]),
        built_days=tuple(DayRange.from_text(text) for text in body["built_days"]),
    )


def _columns(texts: Sequence[str]) -> tuple[Column, ...]:
    pairs = (text.rpartition(" ") for text in texts)
    return tuple(Column(name, kind) for name, _, kind in pairs)
