"""
What dbt has written next to the manifest: how the last run went, what the warehouse has.

Responsible for reading `run_results.json` and `catalog.json`. Both are extras: a file that is
missing, or is being written, is read as empty, and is not an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from materializer.registry.model import LastRun


def read_runs(path: Path) -> dict[str, LastRun]:
    """
    Read how the newest dbt command ran each of its models.

    Args:
        path: `run_results.json`.
    """
    return {
        result["unique_id"]: LastRun(
            status=result["status"],
            completed_at=next(
                (
                    timing["completed_at"]
                    for timing in result["timing"]
                    if timing["name"] == "execute"
                ),
                None,
            ),
            seconds=result["execution_time"],
        )
        for result in _read(path).get("results", ())
        if result["unique_id"].startswith("model.")
    }


def read_types(path: Path) -> dict[str, dict[str, str]]:
    """
    Read the types that the columns have in the warehouse, by dbt's id of the model.

    Args:
        path: `catalog.json`.
    """
    return {
        unique_id: {name: column["type"] for name, column in node["columns"].items()}
        for unique_id, node in _read(path).get("nodes", {}).items()
    }


def _read(path: Path) -> Mapping[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
