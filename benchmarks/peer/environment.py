"""
Feast's own environment, and how to run something in it.

Owns where it is, how it is made, and what a process in it sees. Refuses to touch the environment
this project runs in: the two cannot share one, for they want different redis-py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.scratch import ROOT

VERSION = "0.67.0"
REQUIREMENT = f"feast[redis,duckdb]=={VERSION}"
FOLDER = ROOT / ".venv" / "feast"
INSIDE = Path(__file__).with_name("inside.py")


class Unavailable(Exception):
    """Feast cannot be measured here; the message is one line that says why."""


def environment(folder: Path = FOLDER) -> Path | None:
    """
    Find Feast's Python, and make its environment when there is none.

    Args:
        folder: Where the environment is. `FEAST_PYTHON`, when set, names another one's Python.

    Returns:
        The Python, or None when there cannot be one; the reason is then reported on stderr.
    """
    try:
        return make(folder)
    except Unavailable as reason:
        print(f"Feast is not measured: {reason}", file=sys.stderr)
        return None


def make(folder: Path = FOLDER) -> Path:
    """
    As `environment`, for a report that must name the reason.

    Raises:
        Unavailable: The environment cannot be made, or holds another Feast.
    """
    named = os.environ.get("FEAST_PYTHON")
    python = Path(named) if named else folder / "bin" / "python"
    found = _version(python)
    if found is None and not named:
        print(f"Making an environment for {REQUIREMENT} in {folder}", file=sys.stderr)
        _step([sys.executable, "-m", "venv", str(folder)])
        _step([str(python), "-m", "pip", "install", "--quiet", REQUIREMENT])
        found = _version(python)
    if found != VERSION:
        raise Unavailable(f"{python} has {found or 'no Feast'}, not {VERSION}")
    return python


def versions(feast: Path) -> dict[str, str]:
    """Return the versions of Feast and of what its figures depend on."""
    names = ("feast", "redis", "duckdb", "pyarrow", "pandas", "uvicorn", "gunicorn")
    script = (
        "import importlib.metadata as m, json, sys; "
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run(
        [feast, "-I", "-c", script, *names], check=True, capture_output=True, text=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def surroundings() -> dict[str, str]:
    """Make the environment variables of a process of Feast: none of what this project adds."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def inside(feast: Path, command: str, **options: object) -> Mapping[str, Any]:
    """
    Run a command of `inside` in Feast's environment.

    Args:
        feast: Its Python.
        command: Name of the command.
        options: What it is given, as JSON.

    Returns:
        What it prints as its last line.
    """
    done = subprocess.run(
        # Isolated, or the modules next to the script would hide Feast's own.
        [str(feast), "-I", str(INSIDE), command, json.dumps(options, default=str)],
        env=surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"Feast failed to {command}: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _version(python: Path) -> str | None:
    script = "import importlib.metadata as m; print(m.version('feast'))"
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", script], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()


def _step(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise Unavailable(f"{' '.join(command[1:4])} failed: {output[-1]}")


def main() -> int:
    """Make it when missing, and return the versions; 1 when it cannot be made."""
    argparse.ArgumentParser(description=__doc__.splitlines()[1]).parse_args()
    feast = environment()
    if feast is None:
        return 1
    print(json.dumps({"python": str(feast)} | versions(feast)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
