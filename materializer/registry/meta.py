"""
The keys that `meta` may have, and what each may hold.

Owns the list of known keys and their types. Refuses a key it does not know: a typo would silently
leave a default in its place. Columns carry the meta of other tools too, so there only a key that
looks like a misspelt one of ours is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from materializer.errors import BadRegistry

Node = Mapping[str, Any]

FEATURE_GROUP = "feature_group"
TRAINING_SET = "training_set"
FEATURE_VIEW = "feature_view"
KINDS = (FEATURE_GROUP, TRAINING_SET, FEATURE_VIEW)

# As far from a known key as a slip of the finger.
_LIKENESS = 0.8


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where something is declared.

    Attributes:
        file: The file that declares it, relative to its project.
        model: Name of the model, with its version.
    """

    file: str
    model: str

    @classmethod
    def of(cls, node: Node) -> Place:
        """Tell where a node is declared: its YAML, or its SQL when it has none."""
        patch = node.get("patch_path")
        file = patch.split("://", 1)[-1] if patch else node["original_file_path"]
        return cls(file, name_of(node))

    def bad(self, key: str, problem: str) -> BadRegistry:
        """Make the error of one key."""
        return BadRegistry(file=self.file, model=self.model, key=key, problem=problem)


def name_of(node: Node) -> str:
    """Name a node as the registry does: a version of a model has a name of its own."""
    version = node.get("version")
    if version is None:
        return str(node["name"])
    # As dbt makes the alias. A model may have another one; then its group keeps this name.
    return f"{node['name']}_v{str(version).replace('.', '_')}"


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value.strip() else "is not a text"


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "is not true or false"


def _whole(value: object) -> str | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return None if is_whole else "is not a whole number"


def _counted(value: object) -> str | None:
    if problem := _whole(value):
        return problem
    return None if isinstance(value, int) and value > 0 else "is not above 0"


def _names(value: object) -> str | None:
    if isinstance(value, str):
        return f"is not a list of columns; write [{value}]"
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return None
    return "is not a list of columns"


def _moment(value: object) -> str | None:
    # Whether it is one is for the view to say; YAML makes a date of an unquoted one.
    return None if isinstance(value, str | date) else "is no date or time; write 2024-02-15"


def _mapping(value: object) -> str | None:
    return None if isinstance(value, Mapping) else "is not a mapping"


def _steps(value: object) -> str | None:
    if isinstance(value, list) and all(isinstance(step, Mapping) for step in value):
        return None
    return "is not a list; write - {type: scale, column: <name>}"


Check = Callable[[object], "str | None"]

GROUP_KEYS: Mapping[str, Check] = {
    "entity": _names,
    "available_at": _text,
    "availability_lag_hours": _whole,
    "partition": _text,
    "online": _boolean,
    "key_prefix": _text,
    "fresh_hours": _counted,
    "closing_row": _text,
    "ttl_days": _counted,
    "max_age_hours": _counted,
    "owner": _text,
}
TRAINING_KEYS: Mapping[str, Check] = {"labels": _text}
VIEW_KEYS: Mapping[str, Check] = {
    "training_set": _text,
    "label": _text,
    "train_until": _moment,
    "features": _names,
    "transforms": _steps,
    "missing": _mapping,
    "keep_versions": _counted,
    "owner": _text,
}
# Of a step, beside the options of its type.
TRANSFORM = ("type", "column")
COLUMN_KEYS: Mapping[str, Check] = {
    "online": _boolean,
    "unit": _text,
    "window_days": _counted,
    "null_means": _text,
}


def kinds(node: Node) -> Mapping[str, Any]:
    """
    Tell what a model declares itself to be, with the keys of each.

    Raises:
        BadRegistry: A key of `meta` is a misspelt kind.
    """
    meta = node["config"].get("meta") or {}
    _refuse_misspelt(meta, KINDS, Place.of(node), "")
    return {kind: meta[kind] for kind in KINDS if kind in meta}


def read_keys(
    kind: str, given: object, known: Mapping[str, Check], place: Place, prefix: str = ""
) -> dict[str, Any]:
    """
    Check the keys of one kind.

    Args:
        kind: `feature_group`, `training_set` or `feature_view`.
        given: What stands under it.
        known: Its keys.
        place: Where it is declared.
        prefix: Written before each key in a message.

    Returns:
        The keys that have a value; a null is as good as none.

    Raises:
        BadRegistry: A key is unknown, or holds what it cannot.
    """
    if not isinstance(given, Mapping):
        raise place.bad(kind, f"{given!r} is not a mapping; known keys: {', '.join(known)}")
    for key in given:
        if key not in known:
            raise place.bad(f"{prefix}{key}", f"unknown key; known: {', '.join(known)}")
    return _checked(given, known, place, prefix)


def read_column_keys(column: Node, place: Place) -> dict[str, Any]:
    """
    Check the meta of one column.

    Raises:
        BadRegistry: One of our keys is misspelt, or holds what it cannot.
    """
    meta = (column.get("config") or {}).get("meta") or column.get("meta") or {}
    prefix = f"{column['name']}."
    _refuse_misspelt(meta, tuple(COLUMN_KEYS), place, prefix)
    ours = {key: value for key, value in meta.items() if key in COLUMN_KEYS}
    return _checked(ours, COLUMN_KEYS, place, prefix)


def _checked(
    given: Mapping[str, Any], known: Mapping[str, Check], place: Place, prefix: str
) -> dict[str, Any]:
    values = {key: value for key, value in given.items() if value is not None}
    for key, value in values.items():
        if problem := known[key](value):
            raise place.bad(f"{prefix}{key}", f"{value!r} {problem}")
    return values


def _refuse_misspelt(
    meta: Mapping[str, Any], known: tuple[str, ...], place: Place, prefix: str
) -> None:
    for key in meta:
        if key in known:
            continue
        # `Window-Days` is as near as `window_day`.
        plain = re.sub(r"\W", "_", str(key)).lower()
        if near := difflib.get_close_matches(plain, known, 1, _LIKENESS):
            raise place.bad(f"{prefix}{key}", f"unknown key; did you mean {near[0]}?")
