"""
A model becomes a feature view, or is refused.

Responsible for what its meta declares, and for finding the model of its parameters. Does not work
out what that means for any column: dbt does, when it builds the parameters, and reports what is
wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from materializer.registry.groups import published_name
from materializer.registry.meta import (
    FEATURE_VIEW,
    Declaration,
    Node,
    ViewMeta,
    read_meta,
    registry_name,
)
from materializer.registry.model import FeatureView, TrainingSet


def read_view(
    node: Node, graph: Mapping[str, Node], training_sets: Mapping[str, TrainingSet]
) -> FeatureView:
    """Read one feature view; *graph* has nodes and sources of the manifest, by dbt's id."""
    declaration = Declaration.of_node(node)
    key = f"{FEATURE_VIEW}.training_set"
    meta = read_meta(ViewMeta, FEATURE_VIEW, node, declaration)
    models = [ref for ref in node["depends_on"]["nodes"] if ref.startswith("model.")]
    training_set = training_sets.get(meta.training_set)
    if training_set is None or training_set.unique_id not in models:
        raise declaration.error(key, f"{meta.training_set!r} is not a training set this model refs")
    if training_set.time is None:
        raise declaration.error(key, f"{training_set.name} is not built with point_in_time_join")
    others = [ref for ref in models if ref != training_set.unique_id and ref in graph]
    if len(others) != 1:
        raise declaration.error(key, "next to it the view refs one model, that of its parameters")
    parameters = graph[others[0]]
    return FeatureView(
        name=published_name(declaration, "view"),
        unique_id=node["unique_id"],
        relation_name=node["relation_name"],
        description=(node.get("description") or "").strip(),
        owner=meta.owner,
        training_set=training_set.name,
        label=meta.label,
        time=training_set.time,
        train_until=meta.train_until,
        declared=node["config"]["meta"][FEATURE_VIEW],
        parameters=registry_name(parameters),
        parameters_id=parameters["unique_id"],
        parameters_relation=parameters["relation_name"],
        keep_versions=meta.keep_versions,
    )
