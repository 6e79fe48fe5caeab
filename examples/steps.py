"""
Steps shown to a person: a heading, and each command as it is typed, then what it prints.

Owns how an example runs a command or a server, and how they fail. Every step can be typed as it is
printed; nothing here reaches around the commands.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from materializer.errors import FAILED, FeatureStoreError

_READY_SECONDS = 30
_TOKEN = "FEATURE_SERVER_TOKEN"


class StepFailed(FeatureStoreError):
    """A command failed; its output was printed, and its exit code is ours."""

    def __init__(self, command: str, code: int) -> None:
        super().__init__(f"{command} ended with exit code {code}")
        self.exit_code = code or FAILED


@dataclass(frozen=True, slots=True)
class Shell:
    """
    Where every step of an example runs.

    Attributes:
        folder: The dbt project.
        settings: Variables of the environment, next to those that are there.
        variables: dbt vars of each dbt command.
    """

    folder: Path
    settings: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every command."""
        return {**os.environ, **self.settings}

    def run(self, command: Sequence[str]) -> None:
        """
        Print a command, and run it.

        Raises:
            StepFailed: It failed.
        """
        print(f"$ {' '.join(command)}", flush=True)
        code = subprocess.run(command, cwd=self.folder, env=self.env, check=False).returncode
        if code:
            raise StepFailed(" ".join(command), code)

    def shown(self, command: Sequence[str]) -> str:
        """Write a dbt command with its vars, as it is typed."""
        pairs = ", ".join(f"{name}: {value}" for name, value in self.variables.items())
        return " ".join(command) + (f" --vars '{{{pairs}}}'" if pairs else "")

    @contextmanager
    def server(self) -> Iterator[str]:
        """
        Print `feature-server`, and let it answer until the end of the block.

        Yields:
            Its address.

        Raises:
            StepFailed: It did not start; its output was printed.
        """
        port = _free_port(8000)
        command = ["feature-server", "--port", str(port)]
        print(f"$ {' '.join(command)} &", flush=True)
        server = subprocess.Popen(
            command,
            cwd=self.folder,
            # No one else is served, and the steps that are typed send no token.
            env={name: value for name, value in self.env.items() if name != _TOKEN},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        base = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(server, base)
            yield base
        finally:
            server.terminate()
            server.communicate()


def heading(number: int, text: str) -> None:
    """Print the heading of a step."""
    print(f"\n{number}. {text}", flush=True)


def _free_port(preferred: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], base: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            output = server.stderr.read().decode() if server.stderr else ""
            print(output, file=sys.stderr)
            raise StepFailed("feature-server", server.returncode)
        try:
            with urllib.request.urlopen(f"{base}/ready", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise StepFailed("feature-server: not ready", 1)
