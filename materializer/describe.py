"""
`materializer groups` and `materializer views`: what is declared, and what of it is published.

Responsible for one text and one JSON document of each. Keys, groups and features of a view are
those of its newest published version, since only dbt works out what a declaration means. Does not
open a store: the versions are passed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from materializer.config import format_time, parse_time
from materializer.console import Console, table
from materializer.errors import DONE, UnknownGroup, UnknownView
from materializer.registry import Column, FeatureGroup, FeatureView, Registry

if TYPE_CHECKING:
    from materializer.views.definition import Feature, ViewVersion
    from materializer.views.versions import PublishedVersion

    Versions: TypeAlias = Sequence[PublishedVersion]

Row: TypeAlias = tuple[str | int | None, ...]
Step: TypeAlias = dict[str, Any]
Definitions: TypeAlias = Mapping[str, str | None]

_NONE = "-"
_LABEL = 14
# Longer values of parameters are cut; `--json` has all of them.
_WIDTH = 60


def describe_groups(registry: Registry, name: str | None, console: Console, now: datetime) -> int:
    """Print a list of the groups, or describe one; *now* decides what is deprecated."""
    if name is not None and name not in registry.groups:
        raise UnknownGroup(name, list(registry.groups))
    groups = [group for group in registry.groups.values() if name in (None, group.name)]
    lines = _group_list(groups, now) if name is None else _group_page(groups[0], registry, now)
    documents = [_group_document(group, registry) for group in groups]
    return _print(console, "group", name, lines, documents)


def describe_views(
    registry: Registry,
    name: str | None,
    published: Sequence[PublishedVersion],
    definitions: Definitions,
    console: Console,
) -> int:
    """
    Print a list of the views, or describe one.

    *published* has every published version of every view, the newest of a view last, and
    *definitions* that of each published group.
    """
    if name is not None and name not in registry.views:
        raise UnknownView(name, list(registry.views))
    views = [view for view in registry.views.values() if name in (None, view.name)]
    versions = [[version for version in published if version.view == view.name] for view in views]
    pairs = list(zip(views, versions, strict=True))
    documents = [_view_document(view, history, registry, definitions) for view, history in pairs]
    lines = _view_list(pairs) if name is None else _view_page(*pairs[0], registry, definitions)
    return _print(console, "view", name, lines, documents)


def _print(
    console: Console,
    kind: str,
    name: str | None,
    lines: Sequence[str],
    documents: Sequence[Mapping[str, object]],
) -> int:
    for line in lines:
        console.print(line)
    console.result({f"{kind}s": documents} if name is None else {kind: documents[0]})
    return DONE


def _page(
    name: str, description: str, facts: Sequence[tuple[str, str]], *tables: Sequence[Row]
) -> list[str]:
    lines = [name, *description.splitlines(), ""]
    lines += [f"{label:<{_LABEL}}{text}" for label, text in facts if text]
    for rows in tables:
        lines += ["", *table(rows)]
    return lines


def _gate(registry: Registry, *models: str) -> str:
    tests = [test.name for model in models for test in registry.gate_tests_of(model)]
    return ", ".join(tests) or "no test, so it is not published"


def _not_provable(registry: Registry, model: str) -> str:
    names = registry.not_provable(model)
    return f"not provable for {', '.join(names)}" if names else ""


def _columns(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.name} ({column.type})" for column in columns)


# Groups


def _group_list(groups: Sequence[FeatureGroup], now: datetime) -> list[str]:
    if not groups:
        return ["no feature group; a model becomes one by meta.feature_group"]
    rows: list[Row] = [
        ("name", "version", "key", "features", "online", "ttl", "owner", "description")
    ]
    rows += [
        (
            group.name,
            group.version,
            _columns(group.keys),
            len(group.features),
            "yes" if group.online else "no",
            f"{group.ttl_days} d" if group.ttl_days else None,
            group.owner,
            f"{_deprecation(group, now)} {group.summary}".strip() or None,
        )
        for group in groups
    ]
    return table(rows)


def _group_page(group: FeatureGroup, registry: Registry, now: datetime) -> list[str]:
    key = ":".join([group.key_prefix, *(f"<{name}>" for name in group.entity)])
    latest = "" if group.version == group.latest_version else f", latest is {group.latest_version}"
    run = registry.runs.get(group.unique_id)
    facts = [
        ("key", _columns(group.keys)),
        ("version", f"{group.version}{latest}" if group.version else ""),
        ("", _deprecation(group, now)),
        ("owner", group.owner or _NONE),
        ("tags", ", ".join(group.tags)),
        ("online", f"yes, {key}" if group.online else "no"),
        ("fresh", _fresh(group)),
        ("ttl", f"{group.ttl_days} days" if group.ttl_days else ""),
        ("stale", f"after {group.max_age_hours} h" if group.max_age_hours else "never"),
        ("available at", f"{group.available_at}, {group.availability_lag_hours} h after the day"),
        ("event time", group.event_time or ""),
        ("partition", group.partition),
        ("relation", group.relation_name),
        *(("comes from", f"{origin.kind} {origin.name}") for origin in group.lineage),
        ("gate", _gate(registry, group.unique_id)),
        ("no future", _not_provable(registry, group.unique_id)),
        ("last dbt run", f"{run.status}, {run.completed_at or _NONE}" if run else ""),
    ]
    rows: list[Row] = [("column", "type", "online", "unit", "window", "null", "description")]
    rows += [
        (
            column.name,
            column.type,
            "key" if column.name in group.entity else "yes" if column.online else "no",
            column.unit,
            f"{column.window_days} d" if column.window_days else None,
            column.null_means,
            " ".join(column.description.split()) or None,
        )
        for column in group.columns
    ]
    return _page(group.name, group.description, facts, rows)


def _group_document(group: FeatureGroup, registry: Registry) -> dict[str, object]:
    run = registry.runs.get(group.unique_id)
    types = registry.warehouse_types.get(group.unique_id, {})
    known = asdict(group)
    for published in ("store_id", "definition"):
        del known[published]
    return {
        **known,
        "columns": [
            {**asdict(column), "warehouse_type": types.get(column.name)} for column in group.columns
        ],
        "features": list(group.features),
        "gate": [test.name for test in registry.gate_tests_of(group.unique_id)],
        "not_provable": list(registry.not_provable(group.unique_id)),
        "last_run": asdict(run) if run else None,
    }


def _fresh(group: FeatureGroup) -> str:
    if group.fresh_hours is None:
        return "until the next row"
    longer = f"; longer where {group.closing_row}" if group.closing_row else ""
    return f"for {group.fresh_hours} h{longer}"


def _deprecation(group: FeatureGroup, now: datetime) -> str:
    if group.deprecation_date is None:
        return ""
    past = parse_time(group.deprecation_date) <= now
    return f"deprecated {'since' if past else 'from'} {group.deprecation_date[:10]}."


# Views


def _view_list(views: Sequence[tuple[FeatureView, Versions]]) -> list[str]:
    if not views:
        return ["no feature view; a model becomes one by meta.feature_view"]
    header = ("name", "training set", "label", "key", "features", "columns", "version", "versions")
    rows: list[Row] = [(*header, "train until", "owner")]
    for view, versions in views:
        fitted: Row = (None,) * 4
        if newest := _newest(versions):
            counts = len(newest.features), len(newest.columns)
            fitted = (_columns(newest.keys), *counts, newest.id)
        declared = (view.name, view.training_set, view.label)
        rows.append((*declared, *fitted, len(versions), view.train_until, view.owner))
    return table(rows)


def _view_page(
    view: FeatureView, versions: Versions, registry: Registry, definitions: Definitions
) -> list[str]:
    newest = _newest(versions)
    facts = [
        ("training set", view.training_set),
        ("label", f"{view.label} ({_label_type(view, registry)})"),
        ("key", _columns(newest.keys) if newest else ""),
        ("time", view.time),
        ("train until", view.train_until),
        ("owner", view.owner or _NONE),
        ("keeps", f"{view.keep_versions} versions" if view.keep_versions else "every version"),
        ("relation", view.relation_name),
        ("gate", _gate(registry, view.unique_id, view.parameters_id)),
    ]
    if newest is None:
        unknown = "none is published; keys, groups and features are known once one is"
        return _page(view.name, view.description, [*facts, ("version", unknown)])
    last, *earlier = reversed(versions)
    fitted_on = f"{newest.fitted_on_rows:,} rows of {last.training_tag}"
    changed = [_changed(version, definitions) for version in (last, *earlier)]
    facts += [
        ("version", f"{last.version}, fitted on {fitted_on}"),
        ("", f"at {_fitted_at(last)}, before {newest.train_until}{changed[0]}"),
        *(
            ("before it", f"{version.version}, at {_fitted_at(version)}{since}")
            for version, since in zip(earlier, changed[1:], strict=True)
        ),
    ]
    joins: list[Row] = [("group", "found by", "missing")]
    for join in newest.joins:
        matches = ", ".join(f"{column} = {key}" for column, key in join.on.items())
        joins.append((join.name, f"{join.group}: {matches}", join.missing))
    features: list[Row] = [("feature", "type", "comes from", "step", "fitted to", "columns")]
    for feature in newest.features:
        features += _feature_rows(feature, _declared_steps(view, feature.name))
    return _page(view.name, view.description, facts, joins, features)


def _changed(version: PublishedVersion, definitions: Definitions) -> str:
    groups = version.to_version().outdated_groups(definitions)
    return f"; not served, {', '.join(groups)} has another definition now" if groups else ""


def _feature_rows(feature: Feature, declared: Sequence[Step]) -> list[Row]:
    """Return a line for each declared step, with what it was fitted to."""
    source = f"{feature.join}.{feature.column}" if feature.join else "the request"
    names = ", ".join(_printable(column.name) for column in feature.columns)
    rows: list[Row] = []
    for number, step in enumerate(declared or [{}]):
        first = (feature.name, feature.type, source) if number == 0 else ("", "", "")
        text = f"{step['transform']} {_values(step['parameters'])}".strip() if step else None
        fitted = next(iter(feature.steps[number : number + 1]), None)
        is_same = fitted is not None and fitted.transform == step.get("transform")
        parameters = _values(fitted.parameters) if fitted and is_same else ""
        columns = (_shorten(names) or None) if number == 0 else ""
        rows.append((*first, text, parameters or None, columns))
    return rows


def _declared_steps(view: FeatureView, feature: str) -> list[Step]:
    return [
        {
            "transform": step.get("type"),
            "parameters": {k: v for k, v in step.items() if k not in ("type", "column")},
        }
        for step in view.declared.get("transforms") or ()
        if step.get("column") == feature
    ]


def _view_document(
    view: FeatureView, versions: Versions, registry: Registry, definitions: Definitions
) -> dict[str, Any]:
    newest = _newest(versions)
    published: dict[str, Any] = {} if newest is None else json.loads(newest.text)
    features = [
        {**feature, "steps": _declared_steps(view, feature["name"])}
        for feature in published.get("features", ())
    ]
    return {
        **asdict(view),
        "label_type": _label_type(view, registry),
        "keys": published.get("keys"),
        "joins": published.get("joins"),
        "features": features if published else None,
        "gate": [test.name for test in registry.gate_tests_of(view.unique_id)],
        "gate_of_parameters": [test.name for test in registry.gate_tests_of(view.parameters_id)],
        "version": versions[-1].version if versions else None,
        "versions": [
            {
                "version": v.version,
                "fitted_at": _fitted_at(v),
                "training_tag": v.training_tag,
                "outdated_groups": v.to_version().outdated_groups(definitions),
            }
            for v in versions
        ],
        "published": published or None,
        "columns": [
            {"name": column.name, "type": column.type}
            for column in (newest.columns if newest else ())
        ],
    }


def _newest(versions: Versions) -> ViewVersion | None:
    return versions[-1].to_version() if versions else None


def _label_type(view: FeatureView, registry: Registry) -> str | None:
    columns = registry.training_sets[view.training_set].columns
    return next((column.type for column in columns if column.name == view.label), None)


def _fitted_at(version: PublishedVersion) -> str:
    return format_time(parse_time(version.fitted_at.isoformat()))


def _values(parameters: Mapping[str, Any]) -> str:
    parts = [f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in parameters.items()]
    return _shorten(", ".join(parts))


def _printable(name: str) -> str:
    # A category may hold anything, a line break too.
    return name if name.isprintable() else json.dumps(name)


def _shorten(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
