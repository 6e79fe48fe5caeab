"""
The main job, step by step, told to a person: build, gate, publish, push, look up.

Owns the words and the order. Every step is a command that a person can type as it is printed;
nothing here reaches around them.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from materializer.errors import FeatureStoreError

ROOT = Path(__file__).resolve().parents[1]
_READY_SECONDS = 30


class StepFailed(FeatureStoreError):
    """A command of the walk failed; its output was printed."""

    def __init__(self, command: str, code: int) -> None:
        super().__init__(f"{command} ended with exit code {code}")


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
        """
        started = time.monotonic()
        self._build()
        heading(3, "Publish what passed, and push it online")
        self._command(["materializer", "run"])
        heading(4, "Look up")
        with self._server() as base:
            self._curl(f"{base}/features/online/{self.user}")
            self._curl(f"{base}/features/offline/{self.user}?as_of={self.as_of}")
        heading(5, "Where things stand")
        self._command(["materializer", "status"])
        print(f"\nDone in {time.monotonic() - started:.0f} s.")

    def how_to_go_on(self) -> str:
        """Say what to type next, in a shell of one's own."""
        return (
            "\nGo on in this shell, with this store and its clock:\n"
            "  source .venv/bin/activate\n"
            f"  export FEATURE_STORE_HOME={self.home} FEATURE_STORE_NOW={self.now}\n"
            "  feature-server                # then the two curl commands above, in another shell\n"
            f"  {self._shown(['dbt', 'test', '--select', 'tag:gate'])}\n"
            f"  materializer get {self.user}\n"
            "README.md tells the rest."
        )

    def _build(self) -> None:
        command = ["dbt", "build"]
        heading(1, "Build the features and the training data, test after test")
        print(f"$ {self._shown(command)}")
        done = self._dbt(command)
        for line in done.stdout.splitlines():
            # What the models say of their own plans; the rest is dbt's log.
            if " days " in line or " day " in line or "every finished day" in line:
                print(f"  {line.split('  ', 1)[-1].strip()}")
        results = json.loads((ROOT / "target" / "run_results.json").read_text())["results"]
        kinds = Counter((result["unique_id"].split(".")[0], result["status"]) for result in results)
        print(f"  built {kinds['seed', 'success'] + kinds['model', 'success']} seeds and models")
        print(f"  {kinds['unit_test', 'pass']} unit tests passed")
        if done.returncode:
            print(done.stdout)
        heading(2, "The gate's verdict")
        for result in results:
            kind, _, name = result["unique_id"].split(".")[:3]
            if kind == "test":
                print(f"  {result['status']:<8} {name}")
        if done.returncode:
            raise StepFailed("dbt build", done.returncode)

    def _dbt(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--no-use-colors", *self._vars()],
            cwd=ROOT,
            env=self._env(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def _command(self, command: Sequence[str]) -> None:
        print(f"$ {' '.join(command)}", flush=True)
        code = subprocess.run(command, cwd=ROOT, env=self._env(), check=False).returncode
        if code:
            raise StepFailed(" ".join(command), code)

    def _curl(self, url: str) -> None:
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

    @contextmanager
    def _server(self) -> Iterator[str]:
        port = _free_port(8000)
        command = ["feature-server", "--port", str(port)]
        print(f"$ {' '.join(command)} &", flush=True)
        server = subprocess.Popen(
            command, cwd=ROOT, env=self._env(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        base = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(server, base)
            yield base
        finally:
            server.terminate()
            server.communicate()

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "FEATURE_STORE_HOME": str(self.home),
            "FEATURE_STORE_NOW": self.now,
        }

    def _vars(self) -> list[str]:
        return ["--vars", json.dumps(dict(self.variables))] if self.variables else []

    def _shown(self, command: Sequence[str]) -> str:
        pairs = ", ".join(f"{name}: {value}" for name, value in self.variables.items())
        return " ".join(command) + (f" --vars '{{{pairs}}}'" if pairs else "")


def heading(number: int, text: str) -> None:
    """Print the heading of a step."""
    print(f"\n{number}. {text}", flush=True)


def walk(plan: Walk) -> int:
    """Walk, and end as a command does: 0, or the exit code of our own error."""
    try:
        plan.run()
    except FeatureStoreError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    print(plan.how_to_go_on())
    return 0


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], base: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = server.stderr.read().decode() if server.stderr else ""
            print(said, file=sys.stderr)
            raise StepFailed("feature-server", server.returncode)
        try:
            with urllib.request.urlopen(f"{base}/ready", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise StepFailed("feature-server: not ready", 1)
