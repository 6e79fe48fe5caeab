"""
The registry: what feature groups there are, read from dbt's manifest, never written twice.

Owns the typed values (`FeatureGroup`, `Column`, `Contract`), how they are read from a manifest, and
the JSON form in which they are published with the data, which is all the server reads. Refuses to
know any group by name: what a model's meta and contract do not say does not exist.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from materializer.errors import BadRegistry, UsageError

Node = Mapping[str, Any]

# Declared SQL type -> the name the online contract uses. Integers are int64 outside the warehouse.
_TYPES = {
    "varchar": "string",
    "string": "string",
    "text": "string",
    "bigint": "int64",
    "int": "int64",
    "integer": "int64",
    "smallint": "int64",
    "double": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
# A model that heals says it in the hook that plans its days.
_WINDOW = re.compile(r"plan_days\(.*window_days\s*=\s*(\d+)")
_DECIMAL = re.compile(r"decimal\(\d+, ?\d+\)")


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column of a group.

    Attributes:
        name: Column name.
        type: `string`, `int64`, `double`, `boolean`, `date`, `timestamp` or `decimal(p,s)`.
        online: Pushed to the online store.
    """

    name: str
    type: str
    online: bool = True


@dataclass(frozen=True, slots=True)
class Contract:
    """
    How to read one online value: the group's online columns, in order.

    Attributes:
        group: Group name.
        entity: Key columns, in key order.
        columns: The columns of the value, after its first element.
    """

    group: str
    entity: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def text(self) -> str:
        """The canonical JSON that is stored under the contract's key."""
        body = {
            "group": self.group,
            "entity": list(self.entity),
            "columns": [{"name": c.name, "type": c.type} for c in self.columns],
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    @property
    def id(self) -> str:
        """Eight hexadecimal digits of the text's SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:8]

    @classmethod
    def from_text(cls, text: str) -> Contract:
        """Read what `text` wrote."""
        body = json.loads(text)
        return cls(
            group=body["group"],
            entity=tuple(body["entity"]),
            columns=tuple(Column(c["name"], c["type"]) for c in body["columns"]),
        )


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """
    One feature group: a model with `meta.feature_group` and an enforced contract.

    Attributes:
        name: Model name.
        unique_id: dbt's id of the model.
        relation_name: Quoted relation in the warehouse.
        description: First line of the model's description.
        entity: Key columns.
        available_at: Column that says when a row may be used.
        availability_lag_hours: Hours between the end of the day and `available_at`.
        partition: Partition column of the Iceberg table.
        online: Pushed to the online store.
        key_prefix: Prefix of every online key, without the last colon.
        ttl_days: Days a row stays usable after `available_at`, or None for ever.
        max_age_hours: Age [h] beyond which lookups say stale, or None.
        owner: Who answers for it.
        columns: Every column, in contract order.
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

    @property
    def contract(self) -> Contract:
        """The online contract: every online column that is not part of the key."""
        return Contract(
            self.name,
            self.entity,
            tuple(c for c in self.columns if c.online and c.name not in self.entity),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """The columns a lookup answers inside `features`."""
        return tuple(c.name for c in self.contract.columns if c.name != self.available_at)

    def to_json(self) -> str:
        """Write the form that is published with the data."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> FeatureGroup:
        """Read what `to_json` wrote."""
        body = json.loads(text)
        body["entity"] = tuple(body["entity"])
        body["columns"] = tuple(Column(**c) for c in body["columns"])
        return cls(**body)


@dataclass(frozen=True, slots=True)
class GateTest:
    """
    One gate test.

    Attributes:
        unique_id: dbt's id of the test.
        name: Its name, as `dbt test` prints it.
        guards: Ids of the models it refs directly.
    """

    unique_id: str
    name: str
    guards: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """
    A model with `meta.training_set`: labels joined with features point-in-time.

    Attributes:
        name: Model name.
        unique_id: dbt's id of the model.
        relation_name: Quoted relation in the warehouse.
        columns: Every column, in contract order.
        labels: Names of the columns that came from the labels.
        labels_relation: Quoted relation of the labels in the warehouse, None for one that its SQL
            holds in itself.
        groups: Names of the feature groups it refs.
    """

    name: str
    unique_id: str
    relation_name: str
    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    labels_relation: str | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Registry:
    """
    Everything that is declared in one dbt project.

    Attributes:
        groups: Feature groups by name.
        training_sets: Training sets by name.
        gate: Gate tests.
        records: Quoted relations of the record tables (`build_ledger`, `gate_verdicts`, ...).
        windows: Of each model that heals, by dbt's id, how many days of events, its own included,
            one day depends on.
        checksum: SHA-256 of the manifest file.
    """

    groups: Mapping[str, FeatureGroup]
    training_sets: Mapping[str, TrainingSet]
    gate: tuple[GateTest, ...]
    records: Mapping[str, str]
    windows: Mapping[str, int]
    checksum: str

    def guarding(self, unique_id: str) -> tuple[GateTest, ...]:
        """Return the gate tests that guard a model."""
        return tuple(test for test in self.gate if unique_id in test.guards)


def read_manifest(path: Path) -> Registry:
    """
    Read the registry of one dbt project.

    Args:
        path: `target/manifest.json`, as any dbt command writes it.

    Raises:
        UsageError: There is no manifest.
        BadRegistry: A model's meta or contract cannot make a feature group.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist; run: dbt build (or dbt parse)")
    raw = path.read_bytes()
    try:
        manifest = json.loads(raw)
        nodes = cast("Mapping[str, Node]", manifest["nodes"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} is not a whole manifest; when no dbt command is writing it, run: dbt parse"
        ) from None
    groups = {}
    training_sets = {}
    for node in nodes.values():
        meta = node["config"].get("meta", {}) if node["resource_type"] == "model" else {}
        if "feature_group" in meta:
            group = _group(node, meta["feature_group"])
            groups[group.name] = group
        if "training_set" in meta:
            training_set = _training_set(node, meta["training_set"], nodes)
            training_sets[training_set.name] = training_set
    return Registry(
        groups=groups,
        training_sets=training_sets,
        gate=tuple(_gate_tests(nodes)),
        records={
            source["name"]: source["relation_name"]
            for source in manifest["sources"].values()
            if source["source_name"] == "records"
        },
        windows={
            node["unique_id"]: int(found[1])
            for node in nodes.values()
            for hook in node["config"].get("pre-hook", ())
            if (found := _WINDOW.search(hook["sql"])) is not None
        },
        checksum=hashlib.sha256(raw).hexdigest(),
    )


def _gate_tests(nodes: Mapping[str, Node]) -> list[GateTest]:
    return [
        GateTest(
            unique_id=node["unique_id"],
            name=node["alias"] if node.get("test_metadata") is None else node["name"],
            guards=tuple(
                ref for ref in node["depends_on"]["nodes"] if ref.startswith(("model.", "seed."))
            ),
        )
        for node in nodes.values()
        if node["resource_type"] == "test" and "gate" in node["tags"]
    ]


def _group(node: Node, meta: Mapping[str, Any]) -> FeatureGroup:
    def bad(key: str, problem: str) -> BadRegistry:
        return BadRegistry(
            file=node["original_file_path"], model=node["name"], key=key, problem=problem
        )

    if node["name"].startswith("_"):
        raise bad("name", "a group name cannot begin with an underscore")
    if not node["config"].get("contract", {}).get("enforced"):
        raise bad("contract", "a feature group needs contract: {enforced: true}")
    columns = tuple(_column(column, bad) for column in node["columns"].values())
    names = {column.name for column in columns}
    available_at = meta.get("available_at", "available_at")
    entity = tuple(meta.get("entity") or ())
    if not entity:
        raise bad("entity", "name at least one key column")
    for key, name in [("available_at", available_at), *(("entity", name) for name in entity)]:
        if name not in names:
            raise bad(key, f"{name!r} is not a column of the contract")
    partition = meta.get("partition", "day")
    if partition not in names:
        raise bad("partition", f"{partition!r} is not a column of the contract")
    return FeatureGroup(
        name=node["name"],
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").split("\n", 1)[0],
        entity=entity,
        available_at=available_at,
        availability_lag_hours=_whole(meta, "availability_lag_hours", bad) or 0,
        partition=partition,
        online=bool(meta.get("online", False)),
        key_prefix=meta.get("key_prefix") or f"features:{node['name']}",
        ttl_days=_whole(meta, "ttl_days", bad),
        max_age_hours=_whole(meta, "max_age_hours", bad),
        owner=meta.get("owner"),
        columns=columns,
    )


def _whole(meta: Mapping[str, Any], key: str, bad: Any) -> int | None:
    value = meta.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise bad(key, f"{value!r} is not a whole number")
    return value


def _column(column: Node, bad: Any) -> Column:
    declared = (column.get("data_type") or "").lower()
    kind = declared if _DECIMAL.fullmatch(declared) else _TYPES.get(declared)
    if kind is None:
        raise bad(column["name"], f"type {declared!r} has no published form")
    meta = (column.get("config") or {}).get("meta") or column.get("meta") or {}
    return Column(column["name"], kind.replace(" ", ""), bool(meta.get("online", True)))


def _training_set(node: Node, meta: Mapping[str, Any], nodes: Mapping[str, Node]) -> TrainingSet:
    bad = partial(
        BadRegistry, file=node["original_file_path"], model=node["name"], key="training_set.labels"
    )
    columns = tuple(
        _column(
            column,
            lambda key, problem: BadRegistry(
                file=node["original_file_path"], model=node["name"], key=key, problem=problem
            ),
        )
        for column in node["columns"].values()
    )
    refs = [nodes[ref] for ref in node["depends_on"]["nodes"] if ref in nodes]
    labels = next((ref for ref in refs if ref["name"] == meta.get("labels")), None)
    if labels is None:
        raise bad(problem=f"{meta.get('labels')!r} is not a model this one refs")
    names = tuple(column.name for column in columns if column.name in labels["columns"])
    if not names:
        raise bad(problem=f"{labels['name']} declares no column that this model has")
    return TrainingSet(
        name=node["name"],
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        columns=columns,
        labels=names,
        labels_relation=labels["relation_name"],
        groups=tuple(
            ref["name"] for ref in refs if "feature_group" in ref["config"].get("meta", {})
        ),
    )
