"""
A whole project, read from dbt's manifest.

Responsible for opening and walking the manifest: models in the order of their files and names, so
that of several problems the same one is reported each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from materializer.errors import UsageError
from materializer.registry.artifacts import read_runs, read_types
from materializer.registry.groups import read_group, read_training_set, refuse_collisions
from materializer.registry.lineage import RECORDS
from materializer.registry.meta import (
    FEATURE_GROUP,
    FEATURE_VIEW,
    TRAINING_SET,
    Declaration,
    declared_kinds,
)
from materializer.registry.model import GateTest, Registry
from materializer.registry.views import read_view

Node = Mapping[str, Any]

# What might be taken for a group; of these only models can be one.
_TABLES = ("model", "seed", "snapshot")


def read_manifest(path: Path) -> Registry:
    """
    Read the registry of one dbt project.

    Args:
        path: `target/manifest.json`, as any dbt command writes it. `run_results.json` and
            `catalog.json` are looked for next to it.

    Raises:
        UsageError: There is no manifest.
        BadRegistry: A model is not what its meta declares.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist; run: dbt build (or dbt parse)")
    raw = path.read_bytes()
    try:
        manifest = json.loads(raw)
        nodes = cast("Mapping[str, Node]", manifest["nodes"])
        sources = cast("Mapping[str, Node]", manifest["sources"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} is not a whole manifest; when no dbt command is writing it, run: dbt parse"
        ) from None
    graph = {**nodes, **sources}
    groups, training_sets, views = [], [], []
    for node, declaration in _declarations(nodes):
        declared = declared_kinds(node)
        _require_one_model(node, declared, declaration)
        if FEATURE_GROUP in declared:
            groups.append((read_group(node, declared[FEATURE_GROUP], graph), declaration))
        if TRAINING_SET in declared:
            training_sets.append(read_training_set(node, declared[TRAINING_SET], graph))
        if FEATURE_VIEW in declared:
            views.append((node, declared[FEATURE_VIEW]))
    refuse_collisions(groups)
    by_name = {training_set.name: training_set for training_set in training_sets}
    read_views = [read_view(node, given, graph, by_name) for node, given in views]
    records = {name: node for name, node in sources.items() if node["source_name"] == RECORDS}
    return Registry(
        groups={group.name: group for group, _ in groups},
        training_sets=by_name,
        views={view.name: view for view in read_views},
        gate=tuple(_gate_tests(nodes)),
        records={node["name"]: node["relation_name"] for node in records.values()},
        checksum=hashlib.sha256(raw).hexdigest(),
        records_schema=next(((n["database"], n["schema"]) for n in records.values()), None),
        runs=read_runs(path.with_name("run_results.json")),
        warehouse_types=read_types(path.with_name("catalog.json")),
    )


def _declarations(nodes: Mapping[str, Node]) -> list[tuple[Node, Declaration]]:
    pairs = [
        (node, Declaration.of_node(node))
        for node in nodes.values()
        if node["resource_type"] in _TABLES
    ]
    return sorted(pairs, key=lambda pair: (pair[1].file, pair[1].model))


def _require_one_model(node: Node, declared: Mapping[str, Any], declaration: Declaration) -> None:
    """Check that what is declared is a model, and one thing."""
    kind = node["resource_type"]
    if declared and kind != "model":
        problem = f"a {kind} keeps no contract; declare a model that selects from it"
        raise declaration.error(next(iter(declared)), problem)
    if len(declared) > 1:
        problem = f"a model cannot be a {' and a '.join(declared)}"
        raise declaration.error(list(declared)[1], problem)


def _gate_tests(nodes: Mapping[str, Node]) -> Iterator[GateTest]:
    for node in nodes.values():
        if node["resource_type"] == "test" and "gate" in node["tags"]:
            yield GateTest(
                unique_id=node["unique_id"],
                name=node["alias"] if node.get("test_metadata") is None else node["name"],
                guards=tuple(
                    ref
                    for ref in node["depends_on"]["nodes"]
                    if ref.startswith(("model.", "seed."))
                ),
            )
