"""
The main job, step by step, shown to a person: build, gate, publish, push, look up.

Owns the words and the order. Every step is a command that a person can type as it is printed;
nothing here reaches around them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from examples.building import build
from examples.steps import Shell, heading
from materializer.errors import FeatureStoreError

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Walk:
    """
    One walk through the main job.

    Attributes:
        home: FEATURE_STORE_HOME, relative to the project where it is inside.
        now: FEATURE_STORE_NOW.
        variables: dbt vars.
        user: Whom to look up.
        as_of: When, for the offline lookup.
    """

    home: Path
    now: str
    variables: Mapping[str, str]
    user: str
    as_of: str

    def run(self) -> None:
        """
        Do every step.

        Raises:
            StepFailed: A command failed.
            BuildRed, BuildFailed: The build is not green.
        """
        started = time.monotonic()
        shell = self._shell
        heading(1, "Build the features and the training data, test after test")
        built = build(shell)
        built.print_counts()
        heading(2, "The gate's verdict")
        built.print_verdicts()
        heading(3, "Publish what passed, and push it online")
        shell.run(["materializer", "run"])
        heading(4, "Look up")
        with shell.server() as base:
            _curl(f"{base}/features/online/{self.user}")
            _curl(f"{base}/features/offline/{self.user}?as_of={self.as_of}")
        heading(5, "Where things are")
        shell.run(["materializer", "status"])
        print(f"\nDone in {time.monotonic() - started:.0f} s.")

    def how_to_go_on(self) -> str:
        """Say what to type next, in a shell of one's own."""
        return (
            "\nGo on in this shell, with this store and its clock:\n"
            "  source .venv/bin/activate\n"
            f"  export FEATURE_STORE_HOME={self.home} FEATURE_STORE_NOW={self.now}\n"
            "  feature-server                # then the two curl commands above, in another shell\n"
            f"  {self._shell.shown(['dbt', 'test', '--select', 'tag:gate'])}\n"
            f"  materializer get {self.user}\n"
            "See README.md for the rest."
        )

    @property
    def _shell(self) -> Shell:
        settings = {"FEATURE_STORE_HOME": str(self.home), "FEATURE_STORE_NOW": self.now}
        return Shell(ROOT, settings, self.variables)


def walk(plan: Walk) -> int:
    """Walk, and end as a command does: 0, or the exit code of our own error."""
    try:
        plan.run()
    except FeatureStoreError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    print(plan.how_to_go_on())
    return 0


def _curl(url: str) -> None:
    shown = f"curl '{url}'" if "?" in url else f"curl {url}"
    print(f"$ {shown}")
    if shutil.which("curl"):
        answer = subprocess.run(
            ["curl", "--silent", "--show-error", url],
            text=True,
            capture_output=True,
            check=False,
        ).stdout
    else:
        with urllib.request.urlopen(url) as response:
            answer = response.read().decode()
    print(answer.strip())
