"""
`materializer groups`: what the registry holds, as a table for people and a document for machines.

Owns the words and the columns. Reads dbt's artifacts and nothing else: no store, no engine.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from materializer.aligned import aligned
from materializer.config import parse_time
from materializer.console import Console
from materializer.errors import DONE, UnknownGroup
from materializer.registry import Column, FeatureGroup, Registry

_NONE = "-"
_LABEL = 14


def groups(registry: Registry, name: str | None, console: Console, now: datetime) -> int:
    """
    Tell every group, or one of them whole.

    Args:
        registry: The project.
        name: The group to tell whole, None for a list.
        console: Told the table and the document.
        now: The time, which tells what is deprecated already [aware, UTC].

    Raises:
        UnknownGroup: There is no group of that name.
    """
    if name is None:
        for line in _list(registry, now):
            console.print(line)
        console.result({"groups": [_document(g, registry) for g in registry.groups.values()]})
        return DONE
    if name not in registry.groups:
        raise UnknownGroup(name, list(registry.groups))
    group = registry.groups[name]
    for line in [*_head(group, registry, now), "", *_columns(group)]:
        console.print(line)
    console.result({"group": _document(group, registry)})
    return DONE


def _list(registry: Registry, now: datetime) -> list[str]:
    if not registry.groups:
        return ["no feature group; a model becomes one by meta.feature_group"]
    header = ("name", "version", "key", "features", "online", "ttl", "owner", "description")
    rows = [
        (
            group.name,
            group.version or _NONE,
            _key(group),
            str(len(group.features)),
            _yes(group.online),
            f"{group.ttl_days} d" if group.ttl_days else _NONE,
            group.owner or _NONE,
            " ".join([*_deprecation(group, now), group.summary]).strip() or _NONE,
        )
        for group in registry.groups.values()
    ]
    return aligned([header, *rows])


def _head(group: FeatureGroup, registry: Registry, now: datetime) -> list[str]:
    parts = ":".join([group.key_prefix, *(f"<{name}>" for name in group.entity)])
    run = registry.runs.get(group.unique_id)
    tests = [test.name for test in registry.guarding(group.unique_id)]
    facts = [
        ("key", _key(group)),
        ("version", _version(group)),
        ("", " ".join(_deprecation(group, now))),
        ("owner", group.owner or _NONE),
        ("tags", ", ".join(group.tags)),
        ("online", f"yes, {parts}" if group.online else "no"),
        ("fresh", _fresh(group)),
        ("ttl", f"{group.ttl_days} days" if group.ttl_days else ""),
        ("stale", f"after {group.max_age_hours} h" if group.max_age_hours else "never"),
        ("available at", f"{group.available_at}, {group.availability_lag_hours} h after the day"),
        ("partition", group.partition),
        ("relation", group.relation_name),
        *(("comes from", f"{o.kind} {o.name}") for o in group.lineage),
        ("gate", ", ".join(tests) or "no test, so it is not published"),
        ("last dbt run", f"{run.status}, {run.completed_at or _NONE}" if run else ""),
    ]
    told = [f"{label:<{_LABEL}}{text}" for label, text in facts if text]
    return [group.name, *group.description.splitlines(), "", *told]


def _columns(group: FeatureGroup) -> list[str]:
    header = ("column", "type", "online", "unit", "window", "null", "description")
    rows = [
        (
            column.name,
            column.type,
            "key" if column.name in group.entity else _yes(column.online),
            column.unit or _NONE,
            f"{column.window_days} d" if column.window_days else _NONE,
            column.null_means or _NONE,
            " ".join(column.description.split()) or _NONE,
        )
        for column in group.columns
    ]
    return aligned([header, *rows])


def _document(group: FeatureGroup, registry: Registry) -> dict[str, object]:
    run = registry.runs.get(group.unique_id)
    types = registry.warehouse_types.get(group.unique_id, {})
    body: dict[str, Any] = asdict(group)
    body["columns"] = [
        {**asdict(column), "warehouse_type": types.get(column.name)} for column in group.columns
    ]
    return {
        **body,
        "features": list(group.features),
        "contract": group.contract.id,
        "gate": [test.name for test in registry.guarding(group.unique_id)],
        "last_run": asdict(run) if run else None,
    }


def _key(group: FeatureGroup) -> str:
    def told(column: Column) -> str:
        return f"{column.name} ({column.type})"

    return ", ".join(told(column) for column in group.keys)


def _version(group: FeatureGroup) -> str:
    if group.version is None:
        return ""
    is_latest = group.version == group.latest_version
    return group.version if is_latest else f"{group.version}, latest is {group.latest_version}"


def _fresh(group: FeatureGroup) -> str:
    if group.fresh_hours is None:
        return "until the next row"
    longer = f"; longer where {group.closing_row}" if group.closing_row else ""
    return f"for {group.fresh_hours} h{longer}"


def _deprecation(group: FeatureGroup, now: datetime) -> list[str]:
    if group.deprecation_date is None:
        return []
    past = parse_time(group.deprecation_date) <= now
    return [f"deprecated {'since' if past else 'from'} {group.deprecation_date[:10]}."]


def _yes(true: bool) -> str:
    return "yes" if true else "no"
