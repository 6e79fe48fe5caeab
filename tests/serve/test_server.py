"""`feature-server` as a command: its options, its lines, its exit codes, its end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from serve.stores.online import ONLINE_TIMEOUT
from tests.serve.support import (
    FIRST,
    PAIRS,
    ROOT,
    Answer,
    FeatureServer,
    alive,
    ask,
    children,
    days_of,
    environment,
    free_port,
    kill_worker,
    pair,
    publish,
    push_all,
    until,
)
from tests.support.server import Server


def run(home: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "serve", *options],
        cwd=ROOT,
        env=environment(home, f"redis://127.0.0.1:{free_port()}/0", **env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_shows_addresses_settings_and_exit_codes(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")

    assert done.returncode == 0
    for text in ("--host", "--port", "--workers", "curl ", "FEATURE_STORE_HOME", "exit codes"):
        assert text in done.stdout


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_are_not_served(tmp_path: Path, host: str) -> None:
    done = run(tmp_path, "--host", host)

    assert done.returncode == 2
    assert "loopback" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "0"],
        ["--port", "65536"],
        ["--port", "http"],
        ["--workers", "0"],
        ["--host", ""],
        ["--host", "no.such.host.invalid"],
        ["--what"],
    ],
)
def test_a_wrong_call_is_a_usage_error(tmp_path: Path, options: list[str]) -> None:
    assert run(tmp_path, *options).returncode == 2


def test_a_wrong_setting_is_a_usage_error(tmp_path: Path) -> None:
    clock = run(tmp_path, now="soon")
    redis = run(tmp_path, REDIS_URL="localhost:6379")

    assert (clock.returncode, redis.returncode) == (2, 2)
    assert "FEATURE_STORE_NOW" in clock.stderr
    assert "REDIS_URL" in redis.stderr
    assert "Traceback" not in clock.stderr + redis.stderr


def test_a_taken_port_is_told_in_one_line(http: FeatureServer, tmp_path: Path) -> None:
    done = run(tmp_path, "--port", str(http.port))

    assert done.returncode == 1
    assert done.stderr == (
        f"feature-server: port {http.port} is taken; choose another with --port\n"
    )
    assert http.get("/health").status == 200


def test_it_says_where_it_listens_and_what_to_try(http: FeatureServer) -> None:
    lines = [line for line in http.output if "listening on" in line]

    url = f"http://127.0.0.1:{http.port}"
    assert lines == [f"feature-server: listening on {url}; try: curl {url}/features/online/user1\n"]


def test_an_empty_home_is_served_and_told(tmp_path: Path, redis_server: Server) -> None:
    with FeatureServer(tmp_path / "empty", redis_server.url) as http:
        output = "".join(http.output)
        answers = [http.get("/health").status, http.get("/ready").status]

    assert "materializer publish" in output
    assert answers == [200, 503]


def test_a_store_without_the_group_of_the_short_routes_is_served(
    tmp_path: Path, redis_server: Server
) -> None:
    home = tmp_path / "home"
    publish(home, [pair("a", 1, FIRST)], PAIRS)
    with FeatureServer(home, redis_server.url) as http:
        (line,) = (line for line in http.output if "listening on" in line)
        target = line.split()[-1].split(str(http.port))[1]

        assert "not ready" not in line
        assert [group["name"] for group in http.get(target).body["feature_groups"]] == ["pairs"]


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_other_names_of_this_machine(filled: tuple[Path, Server], host: str) -> None:
    home, running = filled
    with FeatureServer(home, running.url, "--host", host) as http:
        authority = f"[{host}]" if ":" in host else host
        done = subprocess.run(
            ["curl", "-sg", f"http://{authority}:{http.port}/health"],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.stdout.strip() == '{"status":"ok"}'


def test_several_workers_answer_and_say_so_once(filled: tuple[Path, Server]) -> None:
    home, running = filled
    with FeatureServer(home, running.url, "--workers", "2") as http:
        statuses = {http.online("user1").status for _ in range(40)}
        time.sleep(0.5)
        said = [line for line in http.output if "listening on" in line]

    assert statuses == {200}
    assert len(said) == 1


def test_sigterm_lets_a_request_in_flight_end(tmp_path: Path, redis_server: Server) -> None:
    home = tmp_path / "home"
    publish(home, days_of("user1"))
    push_all(home, redis_server.client())
    got: list[Answer] = []
    with FeatureServer(home, redis_server.url) as http:
        assert http.online("user1").status == 200
        redis_server.pause()
        try:
            slow = threading.Thread(target=lambda: got.append(http.online("user1")))
            slow.start()
            time.sleep(ONLINE_TIMEOUT / 4)
            code = http.terminate()
            slow.join()
        finally:
            redis_server.resume()

    assert code == 0
    assert [answer.code for answer in got] == ["store_unavailable"]
    assert http.output[-1] == "feature-server: stopped\n"


def test_workers_end_with_a_killed_parent(filled: tuple[Path, Server]) -> None:
    home, running = filled
    http = FeatureServer(home, running.url, "--workers", "2")
    workers = children(http.pid)
    assert len(workers) == 2

    http.kill()

    until(lambda: not any(alive(pid) for pid in workers), seconds=10)
    http.join()
    with pytest.raises(OSError, match="refused"):
        ask(http.port, "/health")


def test_a_killed_worker_is_replaced(filled: tuple[Path, Server]) -> None:
    home, running = filled
    with FeatureServer(home, running.url) as http:
        kill_worker(http)

        assert http.online("user1").status == 200
