"""
The registry: what a dbt project declares, read from dbt's artifacts.

Does not know any group by name: all of it comes from a model's meta and contract. No module of it
imports an engine, and `model` imports only the standard library.
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
