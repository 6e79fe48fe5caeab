"""
A model becomes a feature view, or is refused.

Responsible for what its meta declares, and for finding the model of its parameters. Does not work
out what that means for any column: dbt does, when it builds the parameters, and reports what is
wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from materializer.registry.groups import published_name
from materializer.registry.meta import (
    FEATURE_VIEW,
    Declaration,
    ViewMeta,
    read_meta,
    registry_name,
)
from materializer.registry.model import FeatureView, TrainingSet

Node = Mapping[str, Any]

_PREFIX = f"{FEATURE_VIEW}."


def read_view(
    node: Node, given: object, graph: Mapping[str, Node], training_sets: Mapping[str, TrainingSet]
) -> FeatureView:
    """
    Read one feature view.

    Args:
        node: The model.
        given: Its `meta.feature_view`.
        graph: Nodes and sources of the manifest, by dbt's id.
        training_sets: Training sets by name.

    Raises:
        BadRegistry: The model cannot be a view.
    """
    declaration = Declaration.of_node(node)
    meta = read_meta(ViewMeta, given, declaration, FEATURE_VIEW, _PREFIX)
    key = f"{_PREFIX}training_set"
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
