"""
Every benchmark, one after another, and one table of all bars.

Runs each in a process of its own, which checks its output before a figure counts. Writes after each
one what is known so far: `results.json`, `results.md`, and, where Matplotlib is, `results.svg`.
One that fails is reported, the others still run, and the exit code is 1; a missed bar is not a
failure.

    python -m benchmarks.run --only push gate
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import load, machine, versions
from benchmarks.report import from_json, table
from benchmarks.scratch import ROOT

OUT = ROOT / "target" / "benchmarks"
# Matplotlib, in a folder that only the process sees which draws.
PLOT = ROOT / ".venv" / "plot"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """
    One of them.

    Attributes:
        module: Its module below `benchmarks`.
        title: What it is about.
        quick: The options that make it small.
        full: Those of a whole run, where they are not the benchmark's own defaults.
    """

    module: str
    title: str
    quick: str
    full: str = ""

    def command(self, quick: bool) -> list[str]:
        """Write its command line."""
        options = self.quick if quick else self.full
        return [sys.executable, "-m", f"benchmarks.{self.module}", "--json", *options.split()]


BENCHMARKS = (
    Benchmark("push", "Push", "--users 20000 --days 3 --runs 3 --growth 20000 50000"),
    Benchmark("versus.push", "Push next to Feast", "--users 20000 --days 3 --runs 2"),
    Benchmark(
        "versus.lookup", "Online lookups", "--users 5000 --runs 1 --seconds 1", "--seconds 2"
    ),
    Benchmark("vector", "Vectors", "--users 2000 --runs 1 --seconds 1", "--seconds 2"),
    Benchmark("start", "Start", "--runs 2 --no-peer", "--runs 5"),
    Benchmark("publish", "Publish", "--users 20000 --days 5 --runs 3"),
    Benchmark("offline_lookup", "Offline lookups", "--users 20000 --days 10 40 --runs 2"),
    Benchmark(
        "gate",
        "Training join and gate",
        "--users 5000 --events 200000 --labels 20000 --runs 2",
    ),
    Benchmark(
        "training_set",
        "Training set on demand",
        "--users 20000 --days 5 --labels 20000 --runs 3",
    ),
    Benchmark("backfill", "Backfill", "--users 2000 --events-per-day 2000 --days 5 15 --runs 1"),
    Benchmark(
        "one_day_build",
        "One day",
        "--users 2000 --events-per-day 2000 --runs 1 --days 30 90 --read-users 2000"
        " --read-events-per-day 2000",
    ),
)


def main() -> int:
    """Run all, or those named; 1 when one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [one.module for one in BENCHMARKS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument(
        "--quick",
        action="store_true",
        default=bool(os.environ.get("QUICK")),
        help="small sizes, to see that all works: fixed costs then weigh more than the work",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep what is in the results already, and run the rest",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "command": "make bench" + (" QUICK=1" if options.quick else ""),
        "started": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "machine": machine(),
        "versions": versions(),
        "benchmarks": [],
    }
    results = options.out / "results.json"
    if options.resume and results.is_file():
        report = json.loads(results.read_text())
        report["benchmarks"] = [entry for entry in report["benchmarks"] if not entry["exit_code"]]
    done = {entry["name"] for entry in report["benchmarks"]}
    for one in BENCHMARKS:
        if one.module in done or (options.only and one.module not in options.only):
            continue
        print(f"\n## {one.title}\n", flush=True)
        entry = run(one, options.quick)
        report["benchmarks"].append(entry)
        print(section(entry), flush=True)
        write(report, options.out)
    print(f"\n{options.out}/results.md")
    return int(any(entry["exit_code"] for entry in report["benchmarks"]))


def run(one: Benchmark, quick: bool) -> dict[str, Any]:
    """Run one; tell its bars, its time and the load before and after."""
    before, started = load(), time.monotonic()
    done = subprocess.run(
        one.command(quick), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    lines = done.stdout.splitlines()
    try:
        document = json.loads(lines[-1])
    except (IndexError, ValueError):
        document = {}
    return {
        "name": one.module,
        "title": one.title,
        "exit_code": done.returncode,
        "seconds": round(time.monotonic() - started),
        "load": [before, load()],
        "bars": document.pop("bars", []),
        "context": document,
    }


def section(entry: Mapping[str, Any]) -> str:
    """Write one benchmark's table, and what it took."""
    parts = [table([from_json(bar) for bar in entry["bars"]])] if entry["bars"] else []
    if entry["exit_code"]:
        parts.append(f"**It ended with {entry['exit_code']}.**")
    before, after = entry["load"]
    parts.append(f"{entry['seconds']} s, load {before:.1f} before and {after:.1f} after")
    return "\n\n".join(parts)


def write(report: Mapping[str, Any], out: Path) -> None:
    """Write what is known as JSON, as Markdown and, where it can be drawn, as a picture."""
    results = out / "results.json"
    results.write_text(json.dumps(report, indent=1) + "\n")
    (out / "results.md").write_text(_page(report))
    if PLOT.is_dir() and any(entry["bars"] for entry in report["benchmarks"]):
        subprocess.run(
            [sys.executable, "-m", "benchmarks.plot", str(results), str(out / "results.svg")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(PLOT)))},
            cwd=ROOT,
            check=True,
        )


def _page(report: Mapping[str, Any]) -> str:
    parts = [
        "# Results",
        f"Written by `{report['command']}`, started {report['started']}.",
        _pairs(report["machine"]),
        _pairs(report["versions"]),
        "![Each ratio next to its bar](results.svg)",
    ]
    for entry in report["benchmarks"]:
        parts += [f"## {entry['title']}", section(entry)]
    return "\n\n".join(parts) + "\n"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) + "."


if __name__ == "__main__":
    sys.exit(main())
