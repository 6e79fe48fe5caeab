"""
Responsible for a process that has imported what commands need, and forks itself for each of them.

Imports take longer than most of what the tests run. A fork has them already, and is a process like
any other: it can be killed, and holds no lock afterwards. Does not know what the commands do: see
`tests.support.dbt_server`, which is the server of dbt, and `tests.mutants.pytest_server`.

Each connection to the Unix socket is one command: a line with the request; back come a line with
the id of the process and, when it has ended, a line with its exit code and report.
"""

import atexit
import faulthandler
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]


def temporary_folder(prefix: str) -> Path:
    """Make a folder that is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start_server(module: str) -> str:
    """Start `python -m module ADDRESS`, and return the address; it ends with this process."""
    folder = temporary_folder("fork-server-")
    address, log = folder / "socket", folder / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", module, str(address)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    # Its standard input ends, and so it does.
    atexit.register(server.communicate)
    while not address.exists():
        assert server.poll() is None, log.read_text()
        time.sleep(0.02)
    return str(address)


class ForkedProcess:
    """
    A command that runs in a fork of a server.

    Attributes:
        pid: Its process.
        report: What it reported in the end; empty if it was killed.
    """

    def __init__(self, address: str, request: Mapping[str, Any]) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address)
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self._lines = self._connection.makefile("rb")
        self.pid: int = json.loads(self._lines.readline())["pid"]
        self.report: Json = {}
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code, or None if the command still runs after so long [s]."""
        if self._code is None:
            ready, _, _ = select.select([self._connection], [], [], timeout)
            if not ready:
                return None
            end = json.loads(self._lines.readline())
            self._code, self.report = end["code"], end["report"]
            self._lines.close()
            self._connection.close()
        return self._code

    def kill_hung(self) -> None:
        """Let it print where each of its threads is, and end it."""
        os.kill(self.pid, signal.SIGUSR1)
        time.sleep(1)
        self.kill()

    def kill(self) -> None:
        """End it as a power cut would, and wait until it is gone."""
        if self.wait(0) is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def become(env: Mapping[str, str], folder: Path | str, output: str | None = None) -> None:
    """Give this process an environment, a working directory and a file for what it prints."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    if output is not None:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        # A process that hangs shows where, before it is killed.
        faulthandler.register(signal.SIGUSR1, file=2)


def serve(address: str, prepare: Callable[[Json], Callable[[], tuple[int, Json]]]) -> None:
    """
    Serve commands until standard input ends.

    Args:
        address: Where the socket is made.
        prepare: Does what the server itself does for a request, and returns what the fork does: it
            returns the exit code and the report.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(64)
    # Only now, so that whoever sees the address can connect to it.
    Path(f"{address}.new").rename(address)
    # Nobody waits for the processes that wait for the commands.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        with connection, connection.makefile() as lines:
            command = prepare(json.loads(lines.readline()))
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                _end_after(lambda: _attend(connection, command))  # noqa: B023 - called at once


def _attend(connection: socket.socket, command: Callable[[], tuple[int, Json]]) -> int:
    """Fork a command, and report its process and its end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        connection.close()
        _end_after(lambda: _report(writer, *command()))
    connection.sendall(json.dumps({"pid": child}).encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.set_blocking(reader, False)
    try:
        report = json.loads(os.read(reader, 1 << 16) or b"{}")
    except BlockingIOError:
        report = {}
    end = {"code": os.waitstatus_to_exitcode(status), "report": report}
    connection.sendall(json.dumps(end).encode() + b"\n")
    return 0


def _report(writer: int, code: int, report: Json) -> int:
    os.write(writer, json.dumps(report).encode())
    return code


def _end_after(work: Callable[[], int]) -> None:
    """Do the work of a fork, and end it without what the server does at its end."""
    code = 1
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
