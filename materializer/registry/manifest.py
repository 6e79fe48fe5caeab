"""
A whole project, read from dbt's manifest.

Owns how the manifest is opened and walked: models in the order of their files and names, so that
the first problem told is the same one each time.
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
from materializer.registry.meta import FEATURE_GROUP, FEATURE_VIEW, TRAINING_SET, Place, kinds
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
            `catalog.json` are looked for beside it.

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
        sources = cast("Mapping[str, Node]", manifest["sources"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} is not a whole manifest; when no dbt command is writing it, run: dbt parse"
        ) from None
    graph = {**nodes, **sources}
    groups, training_sets, views = [], [], []
    for node, place in _declaring(nodes):
        declared = kinds(node)
        _refuse_no_model(node, declared, place)
        if len(declared) > 1:
            raise place.bad(list(declared)[1], f"a model cannot be a {' and a '.join(declared)}")
        if FEATURE_GROUP in declared:
            groups.append((read_group(node, declared[FEATURE_GROUP], graph), place))
        if TRAINING_SET in declared:
            training_sets.append(read_training_set(node, declared[TRAINING_SET], graph))
        if FEATURE_VIEW in declared:
            views.append((node, declared[FEATURE_VIEW]))
    refuse_collisions(groups)
    by_id = {group.unique_id: group for group, _ in groups}
    sets = {one.name: one for one in training_sets}
    read_views = [read_view(node, given, graph, by_id, sets) for node, given in views]
    records = {name: node for name, node in sources.items() if node["source_name"] == RECORDS}
    return Registry(
        groups={group.name: group for group, _ in groups},
        training_sets=sets,
        views={view.name: view for view in read_views},
        gate=tuple(_gate_tests(nodes)),
        records={node["name"]: node["relation_name"] for node in records.values()},
        checksum=hashlib.sha256(raw).hexdigest(),
        place=next(((n["database"], n["schema"]) for n in records.values()), None),
        runs=read_runs(path.with_name("run_results.json")),
        warehouse_types=read_types(path.with_name("catalog.json")),
    )


def _declaring(nodes: Mapping[str, Node]) -> list[tuple[Node, Place]]:
    found = [(node, Place.of(node)) for node in nodes.values() if node["resource_type"] in _TABLES]
    return sorted(found, key=lambda one: (one[1].file, one[1].model))


def _refuse_no_model(node: Node, declared: Mapping[str, Any], place: Place) -> None:
    kind = node["resource_type"]
    if declared and kind != "model":
        problem = f"a {kind} keeps no contract; declare a model that selects from it"
        raise place.bad(next(iter(declared)), problem)


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
