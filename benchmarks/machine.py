"""
What a run was measured on and with: processor, memory, load, and the versions that matter.

Refuses to name the machine: figures of two machines are never compared, so no one needs to know.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil

from benchmarks.push import server_binary

PACKAGES = (
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "pyarrow",
    "pyiceberg",
    "redis",
    "hiredis",
    "flask",
    "granian",
)


def machine() -> dict[str, str]:
    """Return processor, cores, memory and system."""
    return {
        "processor": _processor(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, of the main dependencies, and of the server."""
    found = {"python": platform.python_version()}
    found |= {name: importlib.metadata.version(name) for name in PACKAGES}
    output = subprocess.run(
        [server_binary(), "--version"], capture_output=True, text=True, check=False
    ).stdout
    # `Redis server v=7.0.15 sha=...`
    words = [word.removeprefix("v=") for word in output.split() if word.startswith("v=")]
    return found | {f"{Path(server_binary()).name} (server)": words[0] if words else output.strip()}


def load() -> float:
    """Return how many processes ran or waited in the last minute, on average."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
