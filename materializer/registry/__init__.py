"""
The registry: what feature groups there are, read from dbt's artifacts, never written twice.

    values       the typed values, and the JSON form in which a group is published with its data
    meta         the keys that `meta` may have, and what each may hold
    groups       a model becomes a group or a training set, or is refused
    view         the values of a feature view, and the form in which a version of it is kept
    views        a model becomes a feature view, or is refused
    joins        the groups of a view, from what the join noted
    steps        the chains of a view, from its transforms
    lineage      where the rows of a model come from
    artifacts    what the warehouse and the last run said, where dbt has written it
    manifest     a whole project

Refuses to know any group by name: what a model's meta and contract do not say does not exist. No
module of it imports an engine.
"""

from materializer.registry.manifest import read_manifest
from materializer.registry.model import (
    Column,
    Contract,
    FeatureGroup,
    GateTest,
    LastRun,
    Origin,
    Registry,
    TrainingSet,
)
from materializer.registry.view import Feature, FeatureView, FittedStep, Join, ViewVersion

__all__ = [
    "Column",
    "Contract",
    "Feature",
    "FeatureGroup",
    "FeatureView",
    "FittedStep",
    "GateTest",
    "Join",
    "LastRun",
    "Origin",
    "Registry",
    "TrainingSet",
    "ViewVersion",
    "read_manifest",
]
