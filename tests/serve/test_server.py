"""`feature-server` as a command: its options, its lines, its exit codes, its end."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from serve.__main__ import main
from serve.stores.online import ONLINE_TIMEOUT
from tests.serve.support import (
    FIRST,
    PAIRS,
    ROOT,
    Answer,
    FeatureServer,
    Store,
    days_of,
    environment,
    pair,
)
from tests.support.server import free_port

Refuse: TypeAlias = Callable[..., str]


@pytest.fixture
def refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refuse:
    """Give what calls the command in this process, which must be a usage error, for its message."""
    monkeypatch.setenv("FEATURE_STORE_HOME", str(tmp_path))

    def call(*options: str, **env: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            assert main(options) == 2
        return capsys.readouterr().err

    return call


def run(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "serve", *options],
        cwd=ROOT,
        env=environment(home, f"redis://127.0.0.1:{free_port()}/0"),
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


def test_the_command_line_does_not_load_the_stores_into_the_parent() -> None:
    code = (
        "import sys, serve.__main__; heavy = {'flask', 'pyarrow', 'pyiceberg', 'duckdb'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_are_served_only_with_a_token(refuse: Refuse, host: str) -> None:
    message = refuse("--host", host)

    assert "loopback" in message
    assert "set FEATURE_SERVER_TOKEN" in message
    assert len(message.splitlines()) == 1


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
def test_a_wrong_call_is_a_usage_error(refuse: Refuse, options: list[str]) -> None:
    assert refuse(*options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEATURE_STORE_NOW", "soon"),
        ("REDIS_URL", "localhost:6379"),
        ("FEATURE_SERVER_TOKEN", ""),
    ],
)
def test_a_wrong_setting_is_a_usage_error(refuse: Refuse, name: str, value: str) -> None:
    message = refuse(**{name: value})

    assert message.startswith(f"feature-server: {name}")
    assert "Traceback" not in message


def test_a_taken_port_is_reported_in_one_line(http: FeatureServer, tmp_path: Path) -> None:
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


def test_an_empty_home_is_served_and_reported(store: Store) -> None:
    with store.server() as http:
        output = "".join(http.output)
        answers = [http.get("/health").status, http.get("/ready").status]

    assert "materializer publish" in output
    assert answers == [200, 503]


def test_a_store_without_the_group_of_the_short_routes_is_served(store: Store) -> None:
    store.publish([pair("a", 1, FIRST)], PAIRS)
    with store.server() as http:
        (line,) = (line for line in http.output if "listening on" in line)
        target = line.split()[-1].split(str(http.port))[1]

        assert "not ready" not in line
        assert [group["name"] for group in http.get(target).body["feature_groups"]] == ["pairs"]


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_other_names_of_this_machine(filled: Store, host: str) -> None:
    with filled.server("--host", host) as http:
        authority = f"[{host}]" if ":" in host else host
        done = subprocess.run(
            ["curl", "-sg", f"http://{authority}:{http.port}/health"],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.stdout.strip() == '{"status":"ok"}'


def test_sigterm_lets_a_request_in_flight_end(store: Store) -> None:
    store.publish(days_of("user1"))
    store.push()
    got: list[Answer] = []
    with store.server() as http:
        assert http.online("user1").status == 200
        store.redis.pause()
        try:
            slow = threading.Thread(target=lambda: got.append(http.online("user1")))
            slow.start()
            time.sleep(ONLINE_TIMEOUT / 4)
            code = http.terminate()
            slow.join()
        finally:
            store.redis.resume()

    assert code == 0
    assert [answer.code for answer in got] == ["store_unavailable"]
    assert http.output[-1] == "feature-server: stopped\n"
