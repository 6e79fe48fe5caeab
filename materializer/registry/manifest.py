"""
A project, read from dbt's manifest.

Responsible for opening and walking the manifest: models in the order of their files and names, so
that of several problems the same one is reported each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path

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
    declared_kind,
)
from materializer.registry.model import GateTest, Registry

# What might be mistaken for a group; of these only models can be one.
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
        nodes: Mapping[str, Node] = manifest["nodes"]
        sources: Mapping[str, Node] = manifest["sources"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} is not a complete manifest; when no dbt command is writing it, run: dbt parse"
        ) from None
    graph = {**nodes, **sources}
    tables = [node for node in nodes.values() if node["resource_type"] in _TABLES]
    declarations = [(Declaration.of_node(node), node) for node in tables]
    groups, training_sets, view_nodes = [], {}, []
    for declaration, node in sorted(declarations, key=itemgetter(0)):
        kind = declared_kind(node, declaration)
        if kind == FEATURE_GROUP:
            groups.append((read_group(node, graph), declaration))
        elif kind == TRAINING_SET:
            training_set = read_training_set(node, graph)
            training_sets[training_set.name] = training_set
        elif kind == FEATURE_VIEW:
            view_nodes.append(node)
    refuse_collisions(groups)
    views = [read_view(node, graph, training_sets) for node in view_nodes]
    records = [node for node in sources.values() if node["source_name"] == RECORDS]
    return Registry(
        groups={group.name: group for group, _ in groups},
        training_sets=training_sets,
        views={view.name: view for view in views},
        gate=tuple(_gate_tests(nodes)),
        records={node["name"]: node["relation_name"] for node in records},
        checksum=hashlib.sha256(raw).hexdigest(),
        records_schema=next(((n["database"], n["schema"]) for n in records), None),
        runs=read_runs(path.with_name("run_results.json")),
        warehouse_types=read_types(path.with_name("catalog.json")),
    )


def _gate_tests(nodes: Mapping[str, Node]) -> Iterator[GateTest]:
    for node in nodes.values():
        if node["resource_type"] == "test" and "gate" in node["tags"]:
            name = node["alias"] if node.get("test_metadata") is None else node["name"]
            refs = node["depends_on"]["nodes"]
            guards = tuple(ref for ref in refs if ref.startswith(("model.", "seed.")))
            yield GateTest(node["unique_id"], name, guards, _not_provable(node))


def _not_provable(test: Node) -> tuple[str, ...]:
    """Return the inputs for which `knows_no_future` is given no time."""
    metadata = test.get("test_metadata") or {}
    inputs = metadata.get("kwargs", {}).get("inputs")
    if metadata.get("name") != "knows_no_future" or not isinstance(inputs, Mapping):
        return ()
    return tuple(sorted(name for name, known_at in inputs.items() if known_at is None))
