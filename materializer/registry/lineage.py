"""
Where the rows of a model come from.

Responsible for the walk up dbt's graph. Leaves out the store's own records, which every group reads
to know its days.
"""

from __future__ import annotations

from collections.abc import Mapping

from materializer.registry.meta import Node
from materializer.registry.model import Origin

RECORDS = "records"


def origins(node: Node, graph: Mapping[str, Node]) -> tuple[Origin, ...]:
    """
    Return the ancestors of a model that have no ancestors themselves, and its snapshots.

    A snapshot has ancestors, but also rows that they do not have any more. A model that reads files
    by a var has a seed as ancestor only when its sample is read. The result is ordered by kind and
    name. The gate cuts where dbt's macro `lineage_ends` says, by the same rule.
    """
    waiting = _parents(node, graph)
    seen = set(waiting)
    ends = []
    while waiting:
        ancestor = graph[waiting.pop()]
        parents = [] if _reads_files(ancestor) else _parents(ancestor, graph)
        if not parents or ancestor["resource_type"] == "snapshot":
            ends.append(_origin(ancestor))
        waiting += [name for name in parents if name not in seen]
        seen.update(parents)
    return tuple(sorted(ends, key=lambda origin: (origin.kind, origin.name, origin.unique_id)))


def _parents(node: Node, graph: Mapping[str, Node]) -> list[str]:
    names = (node.get("depends_on") or {}).get("nodes", ())
    return [
        name
        for name in dict.fromkeys(names)
        if name in graph and graph[name].get("source_name") != RECORDS
    ]


def _reads_files(node: Node) -> bool:
    # `read_input` writes the var into the meta of the model that calls it.
    meta = (node.get("config") or {}).get("meta") or {}
    return any(key.startswith("input ") for key in meta)


def _origin(node: Node) -> Origin:
    kind = node["resource_type"]
    name = f"{node['source_name']}.{node['name']}" if kind == "source" else node["name"]
    return Origin(node["unique_id"], kind, name, node.get("relation_name"))
