"""
What dbt writes next to the manifest: how the last run went, and the types in the warehouse.

Responsible for reading `run_results.json` and `catalog.json`. Both are optional: a file that is
missing, or is being written, is read as empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from materializer.registry.model import LastRun


def read_runs(path: Path) -> dict[str, LastRun]:
    """Read from `run_results.json` how the newest dbt command ran each of its models."""
    return {
        result["unique_id"]: _last_run(result)
        for result in _read(path).get("results", ())
        if result["unique_id"].startswith("model.")
    }


def _last_run(result: Mapping[str, Any]) -> LastRun:
    completed_at = {timing["name"]: timing["completed_at"] for timing in result["timing"]}
    return LastRun(result["status"], completed_at.get("execute"), result["execution_time"])


def read_types(path: Path) -> dict[str, dict[str, str]]:
    """Read the types of the warehouse's columns from `catalog.json`, by dbt's id of the model."""
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
