"""
The registry: what feature groups there are, read from dbt's artifacts, never written twice.

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
