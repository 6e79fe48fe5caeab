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
from typing import cast

from materializer.errors import UsageError
from materializer.registry.artifacts import read_runs, read_types
from materializer.registry.declared import (
    read_group,
    read_training_set,
    read_view,
    refuse_collisions,
)
from materializer.registry.lineage import RECORDS
from materializer.registry.meta import (
    FEATURE_GROUP,
    FEATURE_VIEW,
    TRAINING_SET,
    Declaration,
    Node,
    declared_kinds,
)
from materializer.registry.model import GateTest, Registry

# What might be taken for a group; of these only models can be one.
_TABLES = ("model", "seed", "snapshot")


def read_manifest(path: Path) -> Registry:
    """
    Read the registry of one dbt project.

    Args:
        path: `target/manifest.json`; `run_results.json` and `catalog.json` are next to it.

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
    groups, training_sets, view_nodes = [], {}, []
    for node, declaration in _declarations(nodes):
        kind = _declared_kind(node, declaration)
        if kind == FEATURE_GROUP:
            groups.append((read_group(node, graph), declaration))
        elif kind == TRAINING_SET:
            training_set = read_training_set(node, graph)
            training_sets[training_set.name] = training_set
        elif kind == FEATURE_VIEW:
            view_nodes.append(node)
    refuse_collisions(groups)
    views = [read_view(node, graph, training_sets) for node in view_nodes]
    records = {name: node for name, node in sources.items() if node["source_name"] == RECORDS}
    return Registry(
        groups={group.name: group for group, _ in groups},
        training_sets=training_sets,
        views={view.name: view for view in views},
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


def _declared_kind(node: Node, declaration: Declaration) -> str | None:
    """Return what a node is declared to be, None for nothing of ours; only a model can be."""
    kinds = declared_kinds(node, declaration)
    resource_type = node["resource_type"]
    if kinds and resource_type != "model":
        problem = f"a {resource_type} keeps no contract; declare a model that selects from it"
        raise declaration.error(kinds[0], problem)
    if len(kinds) > 1:
        raise declaration.error(kinds[1], f"a model cannot be a {' and a '.join(kinds)}")
    return kinds[0] if kinds else None


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
