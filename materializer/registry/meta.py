"""
The keys that `meta` may have, and what each may hold: one class per thing that can be declared.

Responsible for the one line that reports what is wrong. Refuses an unknown key: a typo would
silently leave a default in its place; in the meta of a column, which may have keys of other tools,
only one that looks like a misspelt one of ours.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from materializer.errors import BadRegistry

Node = Mapping[str, Any]

FEATURE_GROUP = "feature_group"
TRAINING_SET = "training_set"
FEATURE_VIEW = "feature_view"
KINDS = (FEATURE_GROUP, TRAINING_SET, FEATURE_VIEW)

# How similar a misspelt key is to a known one.
_LIKENESS = 0.8

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Positive = Annotated[int, Field(gt=0)]


class Meta(BaseModel):
    """The base of every meta: unknown keys and values of another type are refused."""

    # Built when first needed: most commands do not need it.
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class GroupMeta(Meta):
    """`meta.feature_group` of a model."""

    entity: list[str] = []
    available_at: Text = "available_at"
    event_time: Text | None = None
    availability_lag_hours: int = 0
    partition: Text = "day"
    online: bool = False
    key_prefix: Text | None = None
    fresh_hours: Positive | None = None
    closing_row: Text | None = None
    ttl_days: Positive | None = None
    max_age_hours: Positive | None = None
    owner: Text | None = None


class TrainingSetMeta(Meta):
    """`meta.training_set` of a model."""

    labels: Text


class ViewMeta(Meta):
    """`meta.feature_view` of a model; dbt works out what it means when it builds the view."""

    training_set: Text
    label: Text
    train_until: Text
    features: list[str] | None = None
    transforms: list[dict[str, Any]] = []
    missing: dict[str, Text | None] = {}
    keep_versions: Positive | None = None
    owner: Text | None = None


class ColumnMeta(Meta, extra="ignore"):
    """Our keys in the meta of a column."""

    online: bool = True
    unit: Text | None = None
    window_days: int | None = None
    null_means: Text | None = None
    may_be_future: bool = False


MetaType = TypeVar("MetaType", bound=Meta)


@dataclass(frozen=True, slots=True, order=True)
class Declaration:
    """Where something is declared: a file, relative to its project, and the name of the model."""

    file: str
    model: str

    @classmethod
    def of_node(cls, node: Node) -> Declaration:
        """Return where a node is declared: its YAML, or its SQL when it has none."""
        patch = node.get("patch_path")
        file = patch.split("://", 1)[-1] if patch else node["original_file_path"]
        return cls(file, registry_name(node))

    def error(self, key: str, problem: str) -> BadRegistry:
        """Return the error of one key."""
        return BadRegistry(file=self.file, model=self.model, key=key, problem=problem)


def registry_name(node: Node) -> str:
    """Return the name of a node in the registry: a version of a model has a name of its own."""
    version = node.get("version")
    if version is None:
        return str(node["name"])
    # As dbt makes the alias. A model may have another one; then its group keeps this name.
    return f"{node['name']}_v{str(version).replace('.', '_')}"


def declared_kind(node: Node, declaration: Declaration) -> str | None:
    """Return what a node is declared to be, None for nothing of ours; only a model can be."""
    meta = node["config"].get("meta") or {}
    _refuse_misspelt(meta, KINDS, declaration, "")
    kinds = [kind for kind in KINDS if kind in meta]
    resource_type = node["resource_type"]
    if kinds and resource_type != "model":
        problem = f"a {resource_type} keeps no contract; declare a model that selects from it"
        raise declaration.error(kinds[0], problem)
    if len(kinds) > 1:
        raise declaration.error(kinds[1], f"a model cannot be a {' and a '.join(kinds)}")
    return kinds[0] if kinds else None


def read_meta(meta: type[MetaType], kind: str, node: Node, declaration: Declaration) -> MetaType:
    """Read the keys of one kind, or refuse them by the name of the first that is wrong."""
    given = node["config"]["meta"][kind]
    if not isinstance(given, Mapping):
        known = ", ".join(meta.model_fields)
        raise declaration.error(kind, f"should be a mapping, not {given!r}; known keys: {known}")
    return _validate(meta, given, declaration, "" if kind == FEATURE_GROUP else f"{kind}.")


def read_column_meta(column: Node, declaration: Declaration) -> ColumnMeta:
    """Read our keys in the meta of one column; refuse a misspelt one."""
    given = (column.get("config") or {}).get("meta") or column.get("meta") or {}
    prefix = f"{column['name']}."
    _refuse_misspelt(given, ColumnMeta.model_fields, declaration, prefix)
    return _validate(ColumnMeta, given, declaration, prefix)


def _validate(
    meta: type[MetaType], given: Mapping[str, Any], declaration: Declaration, prefix: str
) -> MetaType:
    # A null is as good as no key.
    present = {key: value for key, value in given.items() if value is not None}
    try:
        return meta.model_validate(present)
    except ValidationError as error:
        # A misspelt key first: it is why another one is missing.
        problem = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
    first, *inner = problem["loc"]
    key = f"{prefix}{first}{''.join(f'[{index}]' for index in inner)}"
    if problem["type"] == "extra_forbidden":
        near = _closest(str(first), meta.model_fields)
        guess = f" did you mean {near}?" if near else ""
        known = ", ".join(meta.model_fields)
        raise declaration.error(key, f"unknown key;{guess} known: {known}")
    if problem["type"] == "missing":
        raise declaration.error(key, "is missing")
    # "Input should be a valid string", of any type.
    rule = problem["msg"].partition(" should ")[2]
    raise declaration.error(key, f"should {rule}, not {problem['input']!r}")


def _refuse_misspelt(
    meta: Mapping[str, Any], known: Iterable[str], declaration: Declaration, prefix: str
) -> None:
    for key in meta:
        near = None if key in known else _closest(str(key), known)
        if near:
            raise declaration.error(f"{prefix}{key}", f"unknown key; did you mean {near}?")


def _closest(key: str, known: Iterable[str]) -> str | None:
    # `Window-Days` is as near as `window_day`.
    plain = re.sub(r"\W", "_", key).lower()
    return next(iter(difflib.get_close_matches(plain, known, 1, _LIKENESS)), None)
