"""
The registry: what feature groups there are, read from dbt's artifacts, never written twice.

    model        the typed values, and the JSON form in which a group is published with its data
    meta         the keys that `meta` may have, and what each may hold
    groups       a model becomes a group or a training set, or is refused
    views        a model becomes a feature view, or is refused
    lineage      where the rows of a model come from
    artifacts    how the last run went and what the warehouse has, where dbt has written it
    manifest     a whole project

Refuses to know any group by name: what a model's meta and contract do not say does not exist. No
module of it imports an engine, and the values alone import nothing but the standard library.
"""

from materializer.registry.model import (
    Column,
    Contract,
    FeatureGroup,
    FeatureView,
    GateTest,
    LastRun,
    Origin,
    Registry,
    TrainingSet,
)

__all__ = [
    "Column",
    "Contract",
    "FeatureGroup",
    "FeatureView",
    "GateTest",
    "LastRun",
    "Origin",
    "Registry",
    "TrainingSet",
]
