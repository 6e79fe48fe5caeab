"""
`materializer status`: how far each group and table has come, how old it is, and what to run.

Responsible for the order in which the stores are read, for the status of a training set or view,
and for printing every document as text or as JSON. Reads no rows and changes nothing; it may start
the embedded server, to read from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pyiceberg.catalog import Catalog

from materializer.config import Settings, format_time
from materializer.console import Console
from materializer.errors import DONE, FAILED, FeatureStoreError, ReceiptUnreadable
from materializer.group_status import (
    Builds,
    Document,
    Line,
    gate_line,
    group_document,
    group_lines,
    read_builds,
    read_or_explain,
    stage_text,
    without_fraction,
)
from materializer.offline.catalog import open_catalog
from materializer.offline.publish import last_published
from materializer.online.connection import connect
from materializer.registry import FeatureGroup, FeatureView, Registry, TrainingSet
from materializer.training.files import TrainingFiles
from materializer.training.receipt import read_receipt
from materializer.warehouse.gate import objections
from materializer.warehouse.reader import Warehouse, open_warehouse
from materializer.warehouse.records import Build


@dataclass(frozen=True, slots=True)
class TableBuild:
    """
    What the warehouse has of a training set or view.

    Attributes:
        built: Its newest build, None when it was never built.
        gate: Why it may not be published, empty when it may; None when unknown.
        sample_share: The smallest share of label rows that a gate test looked at.
        warehouse_id: Which warehouse it is.
        problem: Why the warehouse cannot be read, or None.
    """

    built: Build | None = None
    gate: Sequence[str] | None = None
    sample_share: float = 1.0
    warehouse_id: str = ""
    problem: str | None = None


def status(
    settings: Settings,
    registry: Registry,
    groups: Sequence[FeatureGroup],
    console: Console,
    *,
    wait: float,
    max_age: timedelta | None,
    training_sets: bool = True,
) -> int:
    """
    Print the status of groups, and of the project's training sets and feature views.

    Args:
        settings: Where the stores are.
        registry: The project.
        groups: Which groups.
        console: Gets the result.
        wait: How long to wait for a build that holds the warehouse [s].
        max_age: Oldest that the last stage of a group may be, or None.
        training_sets: Print those and the feature views too.

    Returns:
        0, or 1 when a group is older than *max_age* or was never brought that far.
    """
    tables: list[TrainingSet | FeatureView] = []
    if training_sets:
        tables = [*registry.training_sets.values(), *registry.views.values()]
    builds, table_builds = _read_builds(settings, registry, groups, tables, console, wait)
    catalog = read_or_explain(settings, open_catalog)
    online = read_or_explain(settings, connect) if any(group.online for group in groups) else ""
    now = settings.now()
    group_documents = [
        group_document(group, build, catalog, online, now, max_age)
        for group, build in zip(groups, builds, strict=True)
    ]
    table_documents = [
        _table_document(table, build, catalog, settings)
        for table, build in zip(tables, table_builds, strict=True)
    ]
    for document in group_documents:
        _print(console, document["group"], group_lines(document))
        if max_age is not None and document["too_old"]:
            console.error(_age_error(document, max_age))
    for document in table_documents:
        _print(console, document["training_set"], _table_lines(document))
    console.result(
        {"now": format_time(now), "groups": group_documents, "training_sets": table_documents}
    )
    return FAILED if any(document["too_old"] for document in group_documents) else DONE


def _read_builds(
    settings: Settings,
    registry: Registry,
    groups: Sequence[FeatureGroup],
    tables: Sequence[TrainingSet | FeatureView],
    console: Console,
    wait: float,
) -> tuple[list[Builds], list[TableBuild]]:
    """Return what the warehouse has of each, or why it cannot be read."""
    try:
        with open_warehouse(settings, registry, wait=wait, on_wait=console.note) as warehouse:
            return (
                [read_builds(group, registry, warehouse) for group in groups],
                [_read_table_build(table, registry, warehouse) for table in tables],
            )
    except FeatureStoreError as error:
        problem = str(error)
        return (
            [Builds(problem=problem)] * len(groups),
            [TableBuild(problem=problem)] * len(tables),
        )


def _print(console: Console, name: str, lines: Iterator[Line]) -> None:
    console.print(name)
    for label, text in lines:
        console.print(f"  {label:<10} {text}".replace("\n", "\n    "))


def _age_error(document: Document, max_age: timedelta) -> str:
    stage = "pushed" if "pushed" in document else "published"
    limit = max_age.total_seconds() / 3600
    return f"{document['group']}: {stage} is older than {limit:g} h: {stage_text(document[stage])}"


def _read_table_build(
    table: TrainingSet | FeatureView, registry: Registry, warehouse: Warehouse
) -> TableBuild:
    return TableBuild(
        built=warehouse.newest_build(table.unique_id),
        gate=objections(table.unique_id, registry, warehouse),
        sample_share=warehouse.sample_share(table.unique_id),
        warehouse_id=warehouse.warehouse_id(),
    )


def _table_document(
    table: TrainingSet | FeatureView, build: TableBuild, catalog: Catalog | str, settings: Settings
) -> Document:
    built = build.built
    return {
        "training_set": table.name,
        "rows": None if built is None else built.rows,
        "built_at": None if built is None else format_time(built.built_at),
        "gate": None if build.gate is None else list(build.gate),
        "sample_share": build.sample_share,
        "published": read_or_explain(catalog, lambda store: _published(table, build, store)),
        "receipt": _receipt_tag(table, settings),
        "problem": build.problem,
    }


def _table_lines(document: Document) -> Iterator[Line]:
    if document["built_at"] is None:
        yield "built", document["problem"] or "nothing yet"
    else:
        at = without_fraction(document["built_at"])
        yield "built", f"{document['rows']:,} rows, at {at}"
        share = document["sample_share"]
        yield gate_line(
            document["gate"], f", on {100 * share:g} % of the label rows" if share < 1 else ""
        )
    yield "published", document["published"]
    if document["receipt"] is not None:
        yield "receipt", document["receipt"]


def _published(table: TrainingSet | FeatureView, build: TableBuild, catalog: Catalog) -> str:
    last = last_published(catalog, table.name)
    if last is None:
        return "nothing yet"
    text = f"{last.rows:,} rows, at {format_time(last.published_at.replace(microsecond=0))}"
    built = build.built
    if built is not None and (
        last.warehouse_id != build.warehouse_id
        or built.sequence != last.ledger_sequence
        or built.built_at > last.published_at
    ):
        return f"{text}; the newest build is not published"
    return text


def _receipt_tag(table: TrainingSet | FeatureView, settings: Settings) -> str | None:
    files = TrainingFiles(settings.home / "training", table.name)
    try:
        return read_receipt(files.receipt).tag
    except ReceiptUnreadable:
        return None
