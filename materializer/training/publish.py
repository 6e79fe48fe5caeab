"""
Publishing a training set: its labels, and the rows that they became.

Owns what a training set's receipt rests on: the labels, which are published with it, and the groups
that were published before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from pyiceberg.catalog import Catalog

from materializer.days import day_ranges
from materializer.errors import NotPublished
from materializer.offline.catalog import labels_name
from materializer.offline.publish import last_published, publish_table
from materializer.outcome import Outcome
from materializer.registry import FeatureGroup, TrainingSet
from materializer.training.derived_table import DerivedTable, Publishing, publish_derived_table
from materializer.training.receipt import Source
from materializer.warehouse.checksum import checksum_of_rows, sum_checksums
from materializer.warehouse.reader import Warehouse


def publish_training_set(training_set: TrainingSet, work: Publishing) -> Outcome:
    """
    Publish one training set, if there is a newer build than the published one.

    Raises:
        GateRed, OfflineStoreUnavailable: See `publish_derived_table`.
        NotPublished: A group under it never was.
    """
    groups = [work.registry.groups[group] for group in training_set.groups]

    def sources(rows: pa.Table, properties: Mapping[str, str]) -> Sequence[Source]:
        labels = _publish_labels(training_set, rows, work.catalog, properties)
        return (labels, *(_source(group, work.warehouse, work.catalog) for group in groups))

    whole = DerivedTable(
        name=training_set.name,
        unique_id=training_set.unique_id,
        relation_name=training_set.relation_name,
        columns=training_set.columns,
        inputs={group.name: group.unique_id for group in groups},
        sources=sources,
    )
    return publish_derived_table(whole, work)


def _publish_labels(
    training_set: TrainingSet, rows: pa.Table, catalog: Catalog, properties: Mapping[str, str]
) -> Source:
    columns = tuple(c for c in training_set.columns if c.name in training_set.labels)
    labels = rows.select([column.name for column in columns])
    name = labels_name(training_set.name)
    snapshot_id = publish_table(
        catalog, name, labels, columns=columns, snapshot_properties=properties
    )
    return Source(
        name=name,
        relation=training_set.labels_relation,
        snapshot_id=snapshot_id,
        columns=columns,
        content=checksum_of_rows(labels, columns),
    )


def _source(group: FeatureGroup, warehouse: Warehouse, catalog: Catalog) -> Source:
    last = last_published(catalog, group.name)
    if last is None:
        raise NotPublished(group.name)
    days = warehouse.built_days(group.unique_id)
    return Source(
        name=group.name,
        relation=group.relation_name,
        snapshot_id=last.snapshot_id,
        columns=group.columns,
        # A publish compares what it takes with the ledger, so the history need not be read again.
        content=sum_checksums(built.content for built in days),
        model=group.unique_id,
        built_days=tuple(day_ranges(built.day for built in days)),
    )
