"""
Receipts: all that is needed to build a published training set again.

Owns the form of a receipt, which is written once and read years later, and its digests: a short
hash of each part, kept with the Iceberg snapshot of the set, so that a receipt that was changed is
told from a set that changed. Refuses to know stores: it is values and text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materializer.days import DayRange
from materializer.errors import ReceiptUnreadable
from materializer.registry import Column

_HEX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Source:
    """
    One input of a training set: a relation that its SQL names, and where its rows are kept.

    Attributes:
        name: Table of the offline store, without the namespace.
        relation: Quoted relation that the SQL names, None when it names none.
        snapshot_id: Iceberg snapshot of the rows.
        columns: Every column, in the order in which the content was computed.
        content: Content of the rows, None when an older version of this project built some of them.
        model: dbt's id of the group's model; None for the labels.
        built_days: Days of the group that were built, as runs; none for the labels.
    """

    name: str
    relation: str | None
    snapshot_id: int
    columns: tuple[Column, ...]
    content: str | None
    model: str | None = None
    built_days: tuple[DayRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What one published training set was made of.

    Attributes:
        training_set: Its name.
        tag: Name of the build, and of the tags on its snapshots.
        snapshot_id: Iceberg snapshot of the set itself, None before it is committed.
        columns: Its columns, in contract order.
        content: Content of its rows.
        sources: Its inputs, the labels first.
        ledger: Quoted relation of the build ledger, of which its SQL may read the built days.
        sql: The compiled SQL that built it.
        vars: The vars of that dbt command, and those of the project; None when nobody noted them.
        origin: Who built and published it: ids, versions, commit, time.
        parquet: Name of its Parquet file.
        parquet_sha256: Hash of that file.
    """

    training_set: str
    tag: str
    snapshot_id: int | None
    columns: tuple[Column, ...]
    content: str
    sources: tuple[Source, ...]
    ledger: str
    sql: str
    vars: Mapping[str, Any] | None
    origin: Mapping[str, Any]
    parquet: str
    parquet_sha256: str

    @property
    def rows(self) -> int:
        """Rows of the set."""
        return int(self.content.partition(":")[0])

    def parts(self) -> Iterator[tuple[str, object]]:
        """List the parts of the receipt that its digests cover, in the order of checking."""
        yield "SQL", [self.sql, self.ledger]
        yield "vars", self.vars
        for source in self.sources:
            yield source.name, [source.snapshot_id, _source_body(source)]
        for source in self.sources:
            if source.model is not None:
                yield f"built days of {source.name}", [source.model, _days_body(source)]
        yield "output", [self.training_set, self.content, _columns_body(self.columns)]
        yield self.parquet, self.parquet_sha256
        yield "origin", [self.tag, self.origin]

    def digests(self) -> dict[str, str]:
        """Hash each part, by its title."""
        return {
            title: hashlib.sha256(_canonical(part)).hexdigest()[:_HEX_DIGITS]
            for title, part in self.parts()
        }

    def to_json(self) -> str:
        """Write the receipt for people and machines."""
        snapshots = {source.name: str(source.snapshot_id) for source in self.sources}
        body = {
            "training_set": self.training_set,
            "tag": self.tag,
            "rows": self.rows,
            "content": self.content,
            "snapshots": {**snapshots, self.training_set: str(self.snapshot_id)},
            **self.origin,
            "parquet": self.parquet,
            "parquet_sha256": self.parquet_sha256,
            "vars": self.vars,
            "inputs": [
                {**_source_body(source), "built_days": _days_body(source)}
                for source in self.sources
            ],
            "ledger_relation": self.ledger,
            "columns": _columns_body(self.columns),
            "sql": self.sql,
        }
        return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


_OWN_KEYS = {
    *("training_set", "tag", "rows", "content", "snapshots", "parquet", "parquet_sha256"),
    *("vars", "inputs", "ledger_relation", "columns", "sql"),
}


def read_receipt(path: Path) -> Receipt:
    """
    Read a receipt that a publish wrote.

    Raises:
        ReceiptUnreadable: There is no such file, it is no receipt, or one of an earlier version.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReceiptUnreadable(path, "there is no such file") from None
    except (OSError, ValueError) as error:
        raise ReceiptUnreadable(path, str(error)) from error
    try:
        if "parquet_sha256" in body and "sql" not in body:
            raise ReceiptUnreadable(path, "an earlier version wrote it, which kept no SQL")
        receipt = _receipt(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReceiptUnreadable(path, "it is no receipt") from error
    # What it says twice must agree.
    if json.loads(receipt.to_json()) != body:
        raise ReceiptUnreadable(path, "it contradicts itself")
    return receipt


def _receipt(body: Mapping[str, Any]) -> Receipt:
    origin = {key: value for key, value in body.items() if key not in _OWN_KEYS}
    return Receipt(
        training_set=body["training_set"],
        tag=body["tag"],
        snapshot_id=int(body["snapshots"][body["training_set"]]),
        columns=_columns(body["columns"]),
        content=body["content"],
        sources=tuple(_source(source, body["snapshots"]) for source in body["inputs"]),
        ledger=body["ledger_relation"],
        sql=body["sql"],
        vars=body["vars"],
        origin={"store_id": body["store_id"], "duckdb": body["duckdb"], **origin},
        parquet=body["parquet"],
        parquet_sha256=body["parquet_sha256"],
    )


def _source(body: Mapping[str, Any], snapshots: Mapping[str, str]) -> Source:
    return Source(
        name=body["name"],
        relation=body["relation"],
        snapshot_id=int(snapshots[body["name"]]),
        columns=_columns(body["columns"]),
        content=body["content"],
        model=body["model"],
        built_days=tuple(DayRange.from_text(text) for text in body["built_days"]),
    )


def _source_body(source: Source) -> dict[str, object]:
    return {
        "name": source.name,
        "relation": source.relation,
        "model": source.model,
        "content": source.content,
        "columns": _columns_body(source.columns),
    }


def _columns(body: Sequence[str]) -> tuple[Column, ...]:
    pairs = (text.rpartition(" ") for text in body)
    return tuple(Column(name, kind) for name, _, kind in pairs)


def _columns_body(columns: Iterable[Column]) -> list[str]:
    return [f"{column.name} {column.type}" for column in columns]


def _days_body(source: Source) -> list[str]:
    return [str(run) for run in source.built_days]


def _canonical(part: object) -> bytes:
    return json.dumps(part, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
