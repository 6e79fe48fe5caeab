"""
How much the commands cost before they do anything: `feature-server`, an idle run, `--help`.

Builds the sample with dbt in a folder of its own, publishes and pushes it, and then takes the CPU
time of each command, children included: of the server until it says that it listens, of a
`materializer run` that finds everything up to date, and of `materializer --help`. Next to each, in
turn with it, is a Python that does nothing but import what the command imports. Feast's seconds are
reported for context, where it can be installed.

    python -m benchmarks.start --runs 7
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks.report import Bar, print_bars
from benchmarks.scratch import ROOT, dbt
from benchmarks.serve import free_port, tree
from materializer.config import Settings
from materializer.online import embedded

BAR = 1.3
# The midnight after the sample's last event.
NOW = date(2024, 3, 31)
IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
# Some are not there: whoever imports them does without.
IMPORT = """
import time
for name in {names!r}:
    try:
        __import__(name)
    except ImportError:
        pass
print(time.process_time())
"""


@dataclass(frozen=True, slots=True)
class Command:
    """
    One command, and how it is run.

    Attributes:
        name: What a table calls it.
        arguments: Those of Python.
        run: Runs it in an environment until it is done, or ready; gives its CPU [s], and what it
            wrote to stderr.
    """

    name: str
    arguments: Sequence[str]
    run: Callable[[Sequence[str], Mapping[str, str]], tuple[float, str]]


def ended(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[float, str]:
    """Run Python to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)[:200]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stderr


def ready(arguments: Sequence[str], env: Mapping[str, str]) -> tuple[float, str]:
    """Run the server until it says that it listens; the CPU is that of all its processes."""
    command = [sys.executable, *arguments, "--port", str(free_port())]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=output, text=True
        )
        assert process.stdout is not None
        with process, process.stdout as lines:
            try:
                if not any("try: curl" in line for line in lines):
                    sys.exit(f"{' '.join(command)} did not start")
                times = [one.cpu_times() for one in tree(process.pid)]
            finally:
                process.terminate()
        output.seek(0)
        return sum(one.user + one.system for one in times), output.read()


COMMANDS = (
    Command("feature-server, until it listens", ("-m", "serve"), ready),
    Command("materializer run, nothing to do", ("-m", "materializer", "run"), ended),
    Command("materializer --help", ("-m", "materializer", "--help"), ended),
)


def imports(command: Command, env: Mapping[str, str]) -> str:
    """Write the program that imports what a command imports, and tells its CPU [s]."""
    # Processes that it forks write there too.
    _, output = command.run(command.arguments, {**env, "PYTHONPROFILEIMPORTTIME": "1"})
    return IMPORT.format(names=IMPORTED.findall(output))


def importing(program: str, env: Mapping[str, str], *, to_its_end: bool) -> float:
    """
    Run such a program.

    Returns:
        Its CPU until its last import, or until its end, which for engines takes long too [s].
    """
    if to_its_end:
        return ended(("-c", program), env)[0]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, check=True, capture_output=True
    )
    return float(done.stdout)


def measure(env: Mapping[str, str], runs: int) -> list[Bar]:
    """Run every command and its imports in turn, after once that warms up the file cache."""
    bars = []
    for command in COMMANDS:
        bare = partial(importing, imports(command, env), env, to_its_end=command.run is not ready)
        bare()
        pairs = [(command.run(command.arguments, env)[0], bare()) for _ in range(runs)]
        ours, theirs = zip(*pairs, strict=True)
        limit = None if "--help" in command.arguments else BAR
        bars.append(Bar(command.name, "s CPU", ours, "its imports alone", theirs, limit))
    return bars


def fill(folder: Path) -> None:
    """Build the sample, publish it and push it."""
    done = dbt(folder, NOW, "build", "--exclude-resource-type", "unit_test", variables={})
    if set(done.statuses.values()) - {"success", "pass"}:
        sys.exit(done.output)
    ended(("-m", "materializer", "run"), environment(folder))


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of the commands: the store in *folder*, and no other."""
    strange = ("PYICEBERG_", "FEATURE_", "REDIS_URL", "PYTHONPROFILE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return {
        **kept,
        "FEATURE_STORE_HOME": str(folder / "home"),
        "FEATURE_STORE_NOW": NOW.isoformat(),
        "DBT_TARGET_PATH": str(folder / "target"),
    }


def peer(runs: int) -> list[Bar]:
    """Return what Feast takes, for context; nothing where it is not there."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peer.start", "--json", "--runs", str(runs)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        return []
    found = json.loads(done.stdout.splitlines()[-1])
    return [
        Bar("feast version, for context", "s", found["version_seconds"]),
        Bar("feast serve until it answers, for context", "s", found["serve_seconds"]),
    ]


def main() -> int:
    """Measure and print; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--no-peer", action="store_true", help="leave Feast out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
        folder = Path(name)
        try:
            fill(folder)
            bars = measure(environment(folder), options.runs)
        finally:
            embedded.stop(Settings(folder / "home"))
    bars += [] if options.no_peer else peer(options.runs)
    print_bars(bars, options.json)
    return 0 if all(bar.is_met() is not False for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
