"""
`materializer views`: the feature views of a project, and what of them is published.

Owns the words and the columns, for people and as a document for machines. What is declared is the
project's, what was fitted is the newest published version's; both are told, so that a change that
was not published yet can be seen. Refuses to open a store: the versions are handed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from materializer.aligned import aligned
from materializer.config import format_time, parse_time
from materializer.console import Console
from materializer.errors import DONE, UnknownView
from materializer.registry import Column, Feature, FeatureView, FittedStep, Registry, ViewVersion
from materializer.views.vector import Vectors, outputs_of
from materializer.views.versions import PublishedVersion

_NONE = "-"
_LABEL = 15
# Longer values of parameters are for machines.
_WIDTH = 60


def list_views(
    registry: Registry, name: str | None, published: Sequence[PublishedVersion], console: Console
) -> int:
    """
    Tell every view, or one of them whole.

    Args:
        registry: The project.
        name: The view to tell whole, None for a list.
        published: Every published version of every view, the newest of a view last.
        console: Told the table and the document.

    Raises:
        UnknownView: There is no view of that name.
    """
    if name is not None and name not in registry.views:
        raise UnknownView(name, list(registry.views))
    versions = {
        one: [version for version in published if version.view == one] for one in registry.views
    }
    documents = {
        view.name: _document(view, versions[view.name], registry)
        for view in registry.views.values()
        if name in (None, view.name)
    }
    if name is None:
        for line in _list(registry, versions):
            console.print(line)
        console.result({"views": list(documents.values())})
        return DONE
    for line in _whole(registry.views[name], versions[name], registry):
        console.print(line)
    console.result({"view": documents[name]})
    return DONE


def _list(registry: Registry, versions: Mapping[str, Sequence[PublishedVersion]]) -> list[str]:
    if not registry.views:
        return ["no feature view; a model becomes one by meta.feature_view"]
    header = ("name", "training set", "label", "key", "features", "columns", "version", "versions")
    rows = [(*header, "train until", "owner")]
    for view in registry.views.values():
        some = versions[view.name]
        newest = _newest(some)
        rows.append(
            (
                view.name,
                view.training_set,
                view.label,
                _columns(view.keys),
                str(len(view.features)),
                str(len(Vectors(newest).columns)) if newest else _NONE,
                some[-1].version if some else _NONE,
                str(len(some)),
                view.train_until,
                view.owner or _NONE,
            )
        )
    return aligned(rows)


def _whole(view: FeatureView, some: Sequence[PublishedVersion], registry: Registry) -> list[str]:
    newest = _newest(some)
    joins = [(join.name, _on(join.group, join.on), join.missing) for join in view.joins]
    steps = [row for feature in view.features for row in _steps(feature, newest)]
    return [
        view.name,
        *view.description.splitlines(),
        "",
        *(f"{label:<{_LABEL}}{text}" for label, text in _facts(view, some, registry) if text),
        "",
        *aligned([("group", "found by", "missing"), *joins]),
        "",
        *aligned([("feature", "type", "comes from", "step", "fitted to", "columns"), *steps]),
    ]


def _facts(
    view: FeatureView, some: Sequence[PublishedVersion], registry: Registry
) -> list[tuple[str, str]]:
    newest = _newest(some)
    gate = [*_guarding(view.unique_id, registry), *_guarding(view.parameters_id, registry)]
    of = f" on {newest.fitted_on_rows:,} rows of {some[-1].training_tag}" if newest else ""
    return [
        ("training set", view.training_set),
        ("label", f"{view.label} ({view.label_type})"),
        ("key", _columns(view.keys)),
        ("time", view.time),
        ("train until", view.train_until),
        ("owner", view.owner or _NONE),
        ("keeps", f"{view.keep_versions} versions" if view.keep_versions else "every version"),
        ("relation", view.relation_name),
        ("gate", ", ".join(gate) or "no test, so it is not published"),
        ("version", f"{some[-1].version}, fitted{of}" if some else "none is published"),
        ("", f"at {_at(some[-1])}, before {newest.train_until}" if newest else ""),
        *(("before it", f"{one.version}, at {_at(one)}") for one in reversed(some[:-1])),
    ]


def _steps(feature: Feature, newest: ViewVersion | None) -> list[tuple[str, ...]]:
    """Write a feature as a line a step, with what that was fitted to; the columns on the first."""
    fitted = None
    if newest is not None:
        fitted = next((one for one in newest.features if one.name == feature.name), None)
    came = f"{feature.join}.{feature.column}" if feature.join else "the request"
    made = [] if fitted is None else [_shown(column.name) for column in outputs_of(fitted)]
    head = (feature.name, feature.type, came), _cut(", ".join(made)) or _NONE
    lines: list[tuple[str, ...]] = []
    for number, step in enumerate(feature.steps or (None,)):
        (name, kind, origin), columns = head if number == 0 else (("", "", ""), "")
        told = _NONE if step is None else _step(step)
        lines.append((name, kind, origin, told, _fitted(step, fitted, number), columns))
    return lines


def _fitted(step: FittedStep | None, fitted: Feature | None, number: int) -> str:
    steps = fitted.steps if fitted else ()
    if step is None or number >= len(steps) or steps[number].transform != step.transform:
        return _NONE
    return _values(steps[number].parameters)


def _step(step: FittedStep) -> str:
    return f"{step.transform} {_values(step.parameters)}" if step.parameters else step.transform


def _values(parameters: Mapping[str, Any]) -> str:
    told = [f"{name} {json.dumps(one, ensure_ascii=False)}" for name, one in parameters.items()]
    return _cut(", ".join(told)) or _NONE


def _shown(name: str) -> str:
    # A category may hold anything, a line break too.
    return name if name.isprintable() else json.dumps(name)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _on(group: str, on: Sequence[tuple[str, str]]) -> str:
    return f"{group}: {', '.join(f'{column} = {key}' for column, key in on)}"


def _columns(columns: Sequence[Column]) -> str:
    return ", ".join(f"{column.name} ({column.type})" for column in columns)


def _newest(some: Sequence[PublishedVersion]) -> ViewVersion | None:
    return ViewVersion.from_text(some[-1].document) if some else None


def _at(one: PublishedVersion) -> str:
    return format_time(parse_time(one.fitted_at.isoformat()))


def _guarding(model: str, registry: Registry) -> list[str]:
    return [test.name for test in registry.guarding(model)]


def _document(
    view: FeatureView, some: Sequence[PublishedVersion], registry: Registry
) -> dict[str, Any]:
    newest = _newest(some)
    body: dict[str, Any] = asdict(view)
    body["keys"] = [{"name": key.name, "type": key.type} for key in view.keys]
    for join in body["joins"]:
        join["on"] = dict(join["on"])
    columns = [] if newest is None else Vectors(newest).columns
    return {
        **body,
        "gate": _guarding(view.unique_id, registry),
        "gate_of_parameters": _guarding(view.parameters_id, registry),
        "version": some[-1].version if some else None,
        "versions": [
            {"version": one.version, "fitted_at": _at(one), "training_tag": one.training_tag}
            for one in some
        ],
        "published": None if newest is None else json.loads(newest.text),
        "columns": [{"name": column.name, "type": column.type} for column in columns],
    }
