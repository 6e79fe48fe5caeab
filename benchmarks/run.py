"""
Every benchmark, one after another: `make bench`, or `make bench QUICK=1` for small sizes.

Owns the order and the sizes. Each benchmark checks its own output before it counts, prints a table,
and can be run alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# Script, and what makes it small.
BENCHMARKS: dict[str, list[str]] = {
    "push.py": ["--users", "20000", "--days", "5"],
    "offline_lookup.py": ["--users", "20000", "--days", "10"],
    "training_set.py": ["--users", "20000", "--days", "5", "--labels", "20000", "--runs", "3"],
    "serve.py": ["--seconds", "3"],
    "vector.py": ["--users", "2000", "--seconds", "1", "--runs", "3"],
    "gate.py": ["--users", "5000", "--events", "200000", "--labels", "20000", "--runs", "3"],
    "registry.py": ["--groups", "1", "20", "--runs", "2"],
    "backfill.py": ["--users", "2000", "--events", "200000", "--runs", "1"],
    "one_day_build.py": ["--users", "2000", "--events-per-day", "2000", "--runs", "3"],
}


def main() -> int:
    """Run all; the exit code is that of the first that failed."""
    quick = bool(os.environ.get("QUICK"))
    for script, small in BENCHMARKS.items():
        print(f"\n## {script.removesuffix('.py').replace('_', ' ')}\n", flush=True)
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{script.removesuffix('.py')}"]
            + (small if quick else []),
            cwd=FOLDER.parent,
            check=False,
        )
        print(f"\n{time.monotonic() - started:.0f} s", flush=True)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
