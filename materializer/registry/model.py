"""
The values of the registry, and the form in which a group is published.

Responsible for the types that everything else uses, and for the JSON that is published with the
data, which is all the server reads. Does not read a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

_ID_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a group.

    Attributes:
        type: `string`, `int64`, `double`, `boolean`, `date`, `timestamp` or `decimal(p,s)`.
        online: Pushed to the online store.
        unit: Unit of the value, e.g. `EUR`, or None where it has none.
        window_days: How many days of input one value looks at, its own included, or None.
        may_be_future: A time that may be later than `available_at`, such as a due date.
    """

    name: str
    type: str
    online: bool = True
    description: str = ""
    unit: str | None = None
    window_days: int | None = None
    null_means: str | None = None
    may_be_future: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """
    How to read one online value: the group's online columns, in order.

    Attributes:
        columns: The columns of the value, after its first element; name and type alone.
        closing: The rows that name it meet the group's `closing_row`, all others do not.
        store_id, definition: Of the group, see there.
    """

    group: str
    entity: tuple[str, ...]
    columns: tuple[Column, ...]
    closing: bool = False
    store_id: str | None = None
    definition: str | None = None

    @property
    def text(self) -> str:
        """The canonical JSON that is stored under the contract's key."""
        columns = [{"name": c.name, "type": c.type} for c in self.columns]
        body: dict[str, Any] = {
            "store_id": self.store_id,
            "group": self.group,
            "definition": self.definition,
            "entity": self.entity,
            "columns": columns,
        }
        if self.closing:
            body["closing"] = True
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @property
    def id(self) -> str:
        """
        Six characters of the text's SHA-256 in URL-safe base64.

        Every value in the server begins with it. These are 36 bits, more than the 32 of eight
        hexadecimal digits, and two bytes less: enough for most rows of `features_daily` to fit
        into the allocator's class of 64 bytes.
        """
        digest = hashlib.sha256(self.text.encode()).digest()
        return base64.urlsafe_b64encode(digest)[:_ID_LENGTH].decode()

    @classmethod
    def from_text(cls, text: str) -> Contract:
        """Read what `text` wrote."""
        body = json.loads(text)
        columns = tuple(Column(c["name"], c["type"]) for c in body["columns"])
        rest = body.get("closing", False), body["store_id"], body["definition"]
        return cls(body["group"], tuple(body["entity"]), columns, *rest)

    def is_of(self, group: FeatureGroup) -> bool:
        """Return whether rows of this contract are those of a published group."""
        return self.group == group.name and self.store_id == group.store_id


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where rows come from: an ancestor of a model that has none itself, or a snapshot.

    Attributes:
        kind: `source`, `seed` or `snapshot`; `model` for one that reads what dbt does not know,
            such as files.
        name: Its name; of a source `<source>.<table>`.
        relation_name: None for what has no relation in the warehouse.
    """

    unique_id: str
    kind: str
    name: str
    relation_name: str | None


# Without slots, because cached properties need a dictionary.
@dataclass(frozen=True)
class FeatureGroup:
    """
    One feature group: a model with `meta.feature_group` and an enforced contract.

    Here and below `unique_id` is dbt's id of the model, and `relation_name` its quoted relation in
    the warehouse.

    Attributes:
        name: Model name; of a model with versions `<model>_v<version>`.
        entity: Key columns.
        available_at: Column that says when a row may be used.
        event_time: Column by which known rows are ordered, or None: by `available_at`.
        availability_lag_hours: Hours between the end of the day and `available_at`.
        partition: Column with the day, by which the Iceberg table is partitioned.
        key_prefix: Prefix of every online key, without the last colon.
        ttl_days: Days after `available_at` at which a row is removed, or None for never.
        max_age_hours: Age [h] beyond which lookups say stale, or None.
        columns: Every column, in contract order.
        latest_version: The version that dbt takes by default, or None.
        deprecation_date: ISO time [UTC] from which it should not be used any more, or None.
        lineage: Where its rows come from, ordered by kind and name.
        fresh_hours: How long a row holds after `available_at` [h], or None: until the next one.
        closing_row: SQL condition of a row that holds longer, while every day since was built, or
            None.
        store_id: The offline store in which it is published; None before that.
        definition: Identifies the SQL that built the published rows; None before that.
    """

    name: str
    unique_id: str
    relation_name: str
    description: str
    entity: tuple[str, ...]
    available_at: str
    availability_lag_hours: int
    partition: str
    online: bool
    key_prefix: str
    ttl_days: int | None
    max_age_hours: int | None
    owner: str | None
    columns: tuple[Column, ...]
    tags: tuple[str, ...] = ()
    version: str | None = None
    latest_version: str | None = None
    deprecation_date: str | None = None
    lineage: tuple[Origin, ...] = ()
    fresh_hours: int | None = None
    closing_row: str | None = None
    store_id: str | None = None
    definition: str | None = None
    event_time: str | None = None

    @cached_property
    def contract(self) -> Contract:
        """The online contract: every online column that is not part of the key."""
        online = [c for c in self.columns if c.online and c.name not in self.entity]
        columns = tuple(Column(c.name, c.type) for c in online)
        return Contract(
            self.name,
            self.entity,
            columns,
            store_id=self.store_id,
            definition=self.definition,
        )

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The columns a lookup answers inside `features`."""
        return tuple(c.name for c in self.contract.columns if c.name != self.available_at)

    @cached_property
    def keys(self) -> tuple[Column, ...]:
        """The key columns, in key order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.entity)

    @property
    def has_closing_rows(self) -> bool:
        """Whether some rows hold longer than `fresh_hours`; see `registry.validity`."""
        return self.closing_row is not None and self.fresh_hours is not None

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return self.description.split("\n", 1)[0]

    def to_json(self) -> str:
        """Return the JSON that is published with the data."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> FeatureGroup:
        """Read what `to_json` returned, also in a later version, which may have more keys."""
        # Imported here: commands that read no published group start faster without it.
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True, slots=True)
class GateTest:
    """
    One gate test.

    Attributes:
        name: As `dbt test` prints it.
        guards: The ids of the models it refs.
        not_provable: Inputs of the model for which it cannot prove that no row knows the future.
    """

    unique_id: str
    name: str
    guards: tuple[str, ...]
    not_provable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """
    A model with `meta.training_set`: labels joined with features point-in-time.

    Attributes:
        labels: Names of the columns that came from the labels.
        labels_relation: Quoted relation of the labels in the warehouse, None for one that its SQL
            holds in itself.
        groups: Names of the feature groups it refs.
        time: Column with the time of a row, None for one that `point_in_time_join` did not build.
    """

    name: str
    unique_id: str
    relation_name: str
    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    labels_relation: str | None
    groups: tuple[str, ...]
    time: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureView:
    """
    A model with `meta.feature_view`: a training set, transformed for one model.

    What that means for each column is worked out by dbt, and is in the rows of the view's
    parameters, see `materializer.views.definition`.

    Attributes:
        training_set: Name of the training set whose rows it transforms.
        time: Column with the time of a row.
        train_until: UTC time before which a row is for training; later rows are held out.
        declared: Its meta, as dbt has it.
        parameters: Name of the model with the fitted parameters; its id and relation follow.
        keep_versions: How many versions stay, the newest; None keeps all.
    """

    name: str
    unique_id: str
    relation_name: str
    description: str
    owner: str | None
    training_set: str
    label: str
    time: str
    train_until: str
    declared: Mapping[str, Any]
    parameters: str
    parameters_id: str
    parameters_relation: str
    keep_versions: int | None = None


@dataclass(frozen=True, slots=True)
class LastRun:
    """
    How the newest dbt command ran a model, if it did.

    Attributes:
        status: `success`, `error` or `skipped`.
        completed_at: ISO time [UTC], or None.
    """

    status: str
    completed_at: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Registry:
    """
    Everything that is declared in one dbt project.

    Attributes:
        records: Quoted relations of the record tables (`build_ledger`, `gate_verdicts`, ...).
        checksum: SHA-256 of the manifest file.
        records_schema: Database and schema of the records, which are those of dbt's target; None
            without records.
        runs: How the newest dbt command ran a model, by dbt's id of it.
        warehouse_types: Type of each column as `dbt docs generate` found it, by dbt's id of the
            model and column name.
    """

    groups: Mapping[str, FeatureGroup]
    training_sets: Mapping[str, TrainingSet]
    gate: tuple[GateTest, ...]
    records: Mapping[str, str]
    checksum: str
    records_schema: tuple[str, str] | None = None
    runs: Mapping[str, LastRun] = field(default_factory=dict)
    warehouse_types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    views: Mapping[str, FeatureView] = field(default_factory=dict)

    def gate_tests_of(self, unique_id: str) -> tuple[GateTest, ...]:
        """Return the gate tests that guard a model."""
        return tuple(test for test in self.gate if unique_id in test.guards)

    def not_provable(self, unique_id: str) -> tuple[str, ...]:
        """Return the inputs of a model for which its gate cannot prove "no future"."""
        tests = self.gate_tests_of(unique_id)
        return tuple(sorted({name for test in tests for name in test.not_provable}))
