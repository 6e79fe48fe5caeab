"""
Where the example is: its dbt project, its store, and the view that its model is trained on.

Owns these names, so that the three pipelines agree. Refuses to take what the environment says
otherwise: a store, a clock or an online store of one's own count.
"""

from __future__ import annotations

import os
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1]
ROOT = EXAMPLE.parents[1]

VIEW = "recommendation_model_v1"
# The midnight after the last event of the sample in seeds/.
SAMPLE_NOW = "2024-03-01T00:00:00Z"


def home() -> Path:
    """Return the store's home: FEATURE_STORE_HOME, or else the example's own [absolute]."""
    given = os.environ.get("FEATURE_STORE_HOME")
    return Path(given).resolve() if given else ROOT / ".feature_store" / "recommendation"


def shown(path: Path) -> str:
    """Write a path as it can be typed here, the short way inside the project."""
    return os.path.relpath(path) if path.is_relative_to(ROOT) else str(path)
