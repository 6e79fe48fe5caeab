"""
Publishing a feature view: its rows, and the version of its parameters that made them.

Responsible for the proof that serving makes the same vectors: the code that serves looks up and
makes a sample of the rows again, and the two are compared. Does not publish a view whose training
set was not published, whose groups are not served, or whose rows differ from that code's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

import pyarrow as pa

from materializer.errors import GateRed, NotPublished
from materializer.offline.lookup import OfflineReader
from materializer.offline.publish import last_published
from materializer.offline.snapshot import published_definitions
from materializer.outcome import Outcome
from materializer.registry import Column, FeatureView, TrainingSet
from materializer.registry.values import json_value
from materializer.sql import quoted
from materializer.training.publish import DerivedTable, Publishing, publish_derived_table
from materializer.training.receipt import InputTable
from materializer.views.definition import SPLIT, ViewVersion, built_version
from materializer.views.vector import Vectors
from materializer.views.versions import PublishedVersion, record_version
from materializer.warehouse.checksum import checksum_of_rows
from materializer.warehouse.gate import refuse, require_green, require_table_as_built

# About so many rows are compared at each publish, which takes some 10 ms.
_COMPARED = 2_000
# At most so many of them are looked up at their times, which reads a file for most.
_LOOKED_UP = 100

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
    Publish a feature view, if there is a newer build than the published one.

    Raises:
        GateRed: See `publish_derived_table`; or the gate of its parameters is not green, its meta
            was changed since it was built, or its rows are not those that serving makes.
        NotPublished: Its training set never was.
        OfflineStoreUnavailable: The store cannot be written.
    """
    training_set = work.registry.training_sets[view.training_set]
    _require_parameters(view, training_set, work)
    version = _built_version(view, training_set, work)
    _require_served(version, work)
    _require_definitions(version, work)
    vectors = Vectors(version)
    types = {column.name: column for column in training_set.columns}
    carried = (*version.keys, types[view.time], types[view.label])

    def publish_inputs(rows: pa.Table, properties: Mapping[str, str]) -> Sequence[InputTable]:
        _compare(view, vectors, [column.name for column in carried], work)
        rows_input = _training_input(training_set, work)
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

    table = DerivedTable(
        model=view,
        columns=(*carried, Column(SPLIT, "string"), *vectors.columns),
        built_on={
            training_set.name: training_set.unique_id,
            view.parameters: view.parameters_id,
        },
        publish_inputs=publish_inputs,
        parameter_version=version.id,
    )
    return publish_derived_table(table, work)


def _require_parameters(view: FeatureView, training_set: TrainingSet, work: Publishing) -> None:
    """Check that the parameters are those that a green build fitted, on the current rows."""
    name, model, warehouse = view.parameters, view.parameters_id, work.warehouse
    require_green(name, model, work.registry, warehouse)
    require_table_as_built(name, model, view.parameters_relation, _PARAMETERS, warehouse)
    newest = warehouse.sequences()
    if newest.get(training_set.unique_id, 0) > newest[model]:
        problem = f"it was fitted before {training_set.name} was last built"
        again = warehouse.commands.build(f"--select {name} {view.name}")
        refuse(name, [f"{problem}; run: {again}"])


def _built_version(view: FeatureView, training_set: TrainingSet, work: Publishing) -> ViewVersion:
    rows = work.warehouse.table(view.parameters_relation, _PARAMETERS).to_pylist()
    rows.sort(key=lambda row: (row["position"], row["step"]))
    for row in rows:
        row["parameters"] = json.loads(row["parameters"])
    fitted_on = work.warehouse.sequences()[training_set.unique_id]

    def definition_of(name: str) -> str | None:
        group = work.registry.groups.get(name)
        # The version is refused where the project does not have the group any more.
        return None if group is None else work.warehouse.definition(group.unique_id, fitted_on)

    try:
        return built_version(view, rows, definition_of)
    except ValueError as error:
        raise _not_as_built(view.name, str(error), work) from None


def _not_as_built(view: str, problem: str, work: Publishing) -> GateRed:
    again = work.warehouse.commands.build(f"--select +{view}")
    return GateRed(model=view, reasons=[f"{problem}; run: {again}"])


def _require_served(version: ViewVersion, work: Publishing) -> None:
    """Check that online groups still have the features; the groups may have been changed since."""
    groups = {join.name: work.registry.groups.get(join.group) for join in version.joins}
    for feature in version.features:
        if feature.join is None:
            continue
        group = groups[feature.join]
        if not (group and group.online and feature.column in group.features):
            problem = f"{feature.join} does not serve {feature.column} any more"
            raise _not_as_built(version.view, problem, work)


def _require_definitions(version: ViewVersion, work: Publishing) -> None:
    """Check that the groups are published as they were when the view was fitted on them."""
    outdated = version.outdated_groups(published_definitions(work.catalog))
    refuse(
        version.view,
        [
            f"its training set was built on another definition of {group} than the published; "
            f"run: dbt build --select {version.training_set}+"
            for group in outdated
        ],
    )


def _training_input(training_set: TrainingSet, work: Publishing) -> InputTable:
    last = last_published(work.catalog, training_set.name)
    if last is None:
        raise NotPublished(training_set.name)
    rows = work.warehouse.table(training_set.relation_name, training_set.columns)
    return InputTable(
        name=training_set.name,
        snapshot_id=last.snapshot_id,
        relation=training_set.relation_name,
        columns=training_set.columns,
        hash="md5",
        checksum=checksum_of_rows(rows, training_set.columns),
    )


def _compare(view: FeatureView, vectors: Vectors, carried: Sequence[str], work: Publishing) -> None:
    """Make a sample of the training set into vectors; they must be the rows of the view."""
    training_set = work.registry.training_sets[view.training_set]
    features = [feature.name for feature in vectors.version.features]
    inputs = _sample(work, training_set.relation_name, carried, features)
    looked_up = inputs[:: 1 + len(inputs) // _LOOKED_UP]
    _compare_lookups(view, vectors.version, looked_up, carried, work)
    made = [(*row[: len(carried)], *vectors.make(row[len(carried) :])) for row in inputs]
    built = _sample(work, view.relation_name, carried, vectors.names)
    differing = Counter(map(repr, made)) - Counter(map(repr, built))
    if differing or len(made) != len(built):
        example = f", such as {next(iter(differing))}" if differing else ""
        problem = f"serving makes {differing.total():,} of {len(made):,} rows otherwise{example}"
        raise _not_as_built(view.name, problem, work)


def _compare_lookups(
    view: FeatureView,
    version: ViewVersion,
    rows: Sequence[tuple[Any, ...]],
    carried: Sequence[str],
    work: Publishing,
) -> None:
    """Look up the groups of a view at the times of some rows; both must have the same values."""
    training_set = work.registry.training_sets[view.training_set]
    reader = OfflineReader(work.catalog)
    for join in version.joins:
        group = work.registry.groups[join.group]
        if group.relation_name == training_set.labels_relation:
            # Its rows are the labels themselves.
            continue
        places = [carried.index(join.on[name]) for name in group.entity]
        time = carried.index(view.time)
        # A key that is null has no row.
        asked = [row for row in rows if None not in [row[place] for place in places]]
        found = reader.lookup_many(
            group.name,
            [([str(row[n]) for n in places], row[time].replace(tzinfo=UTC)) for row in asked],
        )
        for number, feature in enumerate(version.features, start=len(carried)):
            if feature.join != join.name:
                continue
            for row, answer in zip(asked, found, strict=True):
                value = answer[str(feature.column)] if isinstance(answer, dict) else None
                if json_value(value) != json_value(row[number]):
                    problem = (
                        f"a lookup of {join.name} at {row[time]} finds {feature.name} "
                        f"{json_value(value)!r}, and the row of {row[: len(carried)]} has "
                        f"{json_value(row[number])!r}"
                    )
                    raise _not_as_built(view.name, problem, work)


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
