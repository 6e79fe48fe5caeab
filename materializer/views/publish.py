"""
Publishing a feature view: its rows, and the version of its parameters that made them.

Owns the proof that a vector will be made as these rows were: a sample of them is made again by the
code that serves, and compared. Refuses a view whose training set was not published, and one whose
rows differ from that code's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from materializer.errors import NotPublished
from materializer.offline.publish import last_published
from materializer.outcome import Outcome
from materializer.registry import Column, FeatureView, ViewVersion
from materializer.registry.view import SPLIT as SPLIT_NAME
from materializer.sql import quoted
from materializer.training.publish import (
    DerivedTable,
    Publishing,
    publish_derived_table,
    refuse,
)
from materializer.training.receipt import InputTable, column_types
from materializer.views.vector import Vectors, fitted
from materializer.views.versions import PublishedVersion, record_version
from materializer.warehouse.checksum import checksum_of_rows
from materializer.warehouse.gate import require_green, require_whole_as_built

# About so many rows are made again at each publish: some 10 ms of work.
_COMPARED = 2_000

SPLIT = Column(SPLIT_NAME, "string")

# As the macro makes them.
_PARAMETERS = (
    Column("position", "int64"),
    Column("feature", "string"),
    Column("step", "int64"),
    Column("transform", "string"),
    Column("parameters", "string"),
    Column("fitted_on_rows", "int64"),
    Column("train_until", "timestamp"),
)


def publish_view(view: FeatureView, work: Publishing) -> Outcome:
    """
    Publish one feature view, if there is a newer build than the published one.

    Raises:
        GateRed: See `publish_derived_table`; or the gate of its parameters is not green, or its
            rows are not those that serving makes.
        NotPublished: Its training set never was.
        OfflineStoreUnavailable: The store cannot be written.
    """
    _require_parameters(view, work)
    version = _version(view, work)
    vectors = Vectors(version)
    training_set = work.registry.training_sets[view.training_set]

    def publish_inputs(rows: pa.Table, properties: Mapping[str, str]) -> Sequence[InputTable]:
        _compare(view, vectors, work)
        rows_input = _training_input(view, work)
        receipt = work.files(view.training_set).read()
        published = PublishedVersion(
            view=view.name,
            version=version.id,
            fitted_at=work.settings.now().replace(tzinfo=None),
            training_tag="" if receipt is None else receipt.tag,
            document=version.text,
        )
        for old in record_version(work.catalog, published, keep=view.keep_versions):
            work.console.note(f"{view.name}: version {old.version} is forgotten")
        return [rows_input]

    types = {column.name: column for column in training_set.columns}
    table = DerivedTable(
        name=view.name,
        unique_id=view.unique_id,
        relation_name=view.relation_name,
        columns=(
            *view.keys,
            types[view.time],
            types[view.label],
            SPLIT,
            *vectors.columns,
        ),
        built_on={
            training_set.name: training_set.unique_id,
            view.parameters: view.parameters_id,
        },
        publish_inputs=publish_inputs,
        parameter_version=version.id,
        columns_may_change=True,
    )
    return publish_derived_table(table, work)


def _require_parameters(view: FeatureView, work: Publishing) -> None:
    """
    Stop unless the parameters are those that a green build fitted, on the rows that stand.

    Raises:
        GateRed: They are not.
    """
    name, model, warehouse = view.parameters, view.parameters_id, work.warehouse
    require_green(name, model, work.registry, warehouse)
    require_whole_as_built(name, model, view.parameters_relation, _PARAMETERS, warehouse)
    newest = warehouse.sequences()
    training_set = work.registry.training_sets[view.training_set]
    if newest.get(training_set.unique_id, 0) > newest[model]:
        refuse(
            name,
            [
                f"it was fitted before {training_set.name} was last built; "
                f"run: dbt build --select {name} {view.name}"
            ],
        )


def _version(view: FeatureView, work: Publishing) -> ViewVersion:
    rows = work.warehouse.table(view.parameters_relation, _PARAMETERS).to_pylist()
    rows.sort(key=lambda row: (row["position"], row["step"]))
    for row in rows:
        row["parameters"] = json.loads(row["parameters"])
    try:
        return fitted(view, rows)
    except ValueError as error:
        refuse(view.name, [f"{error}; run: dbt build --select +{view.name}"])
        raise


def _training_input(view: FeatureView, work: Publishing) -> InputTable:
    training_set = work.registry.training_sets[view.training_set]
    last = last_published(work.catalog, training_set.name)
    if last is None:
        raise NotPublished(training_set.name)
    rows = work.warehouse.table(training_set.relation_name, training_set.columns)
    return InputTable(
        name=training_set.name,
        snapshot_id=last.snapshot_id,
        relation=training_set.relation_name,
        columns=column_types(training_set.columns),
        hash="md5",
        checksum=checksum_of_rows(rows, training_set.columns),
    )


def _compare(view: FeatureView, vectors: Vectors, work: Publishing) -> None:
    """
    Make a sample of the training set into vectors; they must be the rows of the view.

    Raises:
        GateRed: They are not.
    """
    training_set = work.registry.training_sets[view.training_set]
    carried = [*(key.name for key in view.keys), view.time, view.label]
    features = [feature.name for feature in view.features]
    outputs = [column.name for column in vectors.columns]
    given = _sample(work, training_set.relation_name, carried, features)
    made = [(*row[: len(carried)], *vectors.make(row[len(carried) :])) for row in given]
    stands = _sample(work, view.relation_name, carried, outputs)
    differing = Counter(map(repr, made)) - Counter(map(repr, stands))
    if differing or len(made) != len(stands):
        example = f", such as {next(iter(differing))}" if differing else ""
        refuse(
            view.name,
            [
                f"serving makes {differing.total():,} of {len(made):,} rows otherwise{example}; "
                f"run: dbt build --select +{view.name}"
            ],
        )


def _sample(
    work: Publishing, relation: str, carried: Sequence[str], columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Read the rows whose key falls into the sample; the same of the training set and the view."""
    key = ", ".join(map(quoted, carried))
    names = ", ".join(map(quoted, [*carried, *columns]))
    return work.warehouse.rows(
        f"select {names} from {relation} "
        f"where hash({key}) % greatest(1, (select count(*) from {relation}) // {_COMPARED}) = 0"
    )
