"""`materializer run`, as cron calls it: two at once, killed, without a server, beside a build."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from materializer.config import parse_time
from tests.support.dbt import Project
from tests.support.server import Server
from tests.support.store import (
    ALL_DAYS,
    Store,
    copy,
    expected,
    finish,
    held_warehouse,
    kill,
    newest,
    wait_until,
)


@contextmanager
def _stopped_build(store: Store) -> Iterator[int]:
    """Give the id of a real dbt build that was stopped in the middle, and let it go on after."""
    output = store.project.folder / "output.txt"
    output.write_text("")
    process = store.project.start("run")
    try:
        wait_until(lambda: "START sql" in output.read_text())
        os.kill(process.pid, signal.SIGSTOP)
        yield process.pid
    finally:
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(60) == 0, output.read_text()


def waiting_run(store: Store, **options: Any) -> tuple[subprocess.Popen[str], str]:
    """Start a run that waits for whoever holds the warehouse, and give what it says of that."""
    process = store.start("run", "--wait", "60", **options)
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said.startswith("waiting up to 60 s")
    return process, said


def declare(store: Store, *, offline: str = "", drop: str = "", **meta: object) -> None:
    """Change the group in the manifest as dbt wrote it: its meta, or a column's, or its columns."""
    manifest = store.project.target / "manifest.json"
    original = manifest.with_suffix(".original")
    if not original.exists():
        shutil.copy(manifest, original)
    body = json.loads(original.read_text())
    model = body["nodes"]["model.feature_store.features_daily"]
    model["config"]["meta"]["feature_group"].update(meta)
    if offline:
        model["columns"][offline]["config"]["meta"]["online"] = False
    model["columns"].pop(drop, None)
    manifest.write_text(json.dumps(body))


def everything_in(server: Server) -> dict[bytes, object]:
    """Read every key of a server, its value and the time at which it expires."""
    client = server.client()
    return {
        key: (client.dump(key), client.execute_command("PEXPIRETIME", key))  # type: ignore[no-untyped-call]
        for key in client.scan_iter()
    }


@pytest.fixture
def nowhere() -> str:
    """Tell an address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}/0"


def test_a_run_publishes_and_pushes(store: Store) -> None:
    done = store.command("run").assert_code(0)

    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        "published features_daily",
        "published training_data",
        "pushed features_daily",
    ]
    assert store.offline() == store.project.features() == expected()
    assert store.online() == newest(expected())


def test_a_second_run_has_nothing_to_do(store: Store) -> None:
    store.do("run").assert_code(0)

    done = store.do("run", "--json").assert_code(0)

    assert [step["status"] for step in done.document["steps"]] == ["up to date"] * 3


def test_a_run_waits_for_a_build_that_holds_the_warehouse(store: Store) -> None:
    with _stopped_build(store) as build:
        process, said = waiting_run(store)
    done = finish(process)

    assert said == f"waiting up to 60 s for a running build (process {build})\n"
    # It worked on what that build left: models built anew, and no verdict on them.
    done.assert_code(3)
    assert "features_daily" in done.out
    assert "training_data: not published" in done.err
    assert "last ran on an older build" in done.err
    assert store.online() == newest(expected())


def test_a_run_ends_with_4_when_the_build_takes_longer_than_the_wait(store: Store) -> None:
    with held_warehouse(store) as holder:
        done = store.do("run", "--wait", "0.5")

    done.assert_code(4)
    waiting, locked = done.err.splitlines()
    assert waiting == f"waiting up to 0.5 s for a running build (process {holder})"
    assert re.fullmatch(
        rf"materializer: {re.escape(str(store.project.warehouse))} is locked by a running build "
        rf"\(process {holder}\) \(waited 1 s\); try again when it is done, "
        r"or wait longer with --wait SECONDS",
        locked,
    )
    assert done.out == ""


def test_of_two_runs_at_once_the_second_is_told_who_holds_the_lock_and_since_when(
    store: Store,
) -> None:
    began = datetime.now(UTC)
    with held_warehouse(store):
        first, _ = waiting_run(store)
        done = store.do("push")
    finish(first).assert_code(0)

    done.assert_code(5)
    said = re.fullmatch(
        rf"materializer: another run holds the lock: materializer run \(process {first.pid}\), "
        r"since (.*)\n",
        done.err,
    )
    assert said is not None
    assert began <= parse_time(said[1]) <= datetime.now(UTC)


def test_after_the_holder_of_the_lock_was_killed_the_next_run_works(store: Store) -> None:
    with held_warehouse(store):
        kill(waiting_run(store)[0])

    store.do("run").assert_code(0)

    assert store.online() == newest(expected())


def hear_interrupts() -> None:
    """Undo what a shell does to the commands it starts in the background: ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_run_says_so_in_one_line(store: Store) -> None:
    with held_warehouse(store):
        process, _ = waiting_run(store, preexec_fn=hear_interrupts)
        process.send_signal(signal.SIGINT)
        done = finish(process)

    done.assert_code(130)
    assert done.err == (
        "materializer: interrupted; finished steps are kept, run it again to go on\n"
    )
    assert done.out == ""


def test_without_a_server_the_publish_is_done_and_the_run_ends_with_4(
    store: Store, nowhere: str
) -> None:
    store.redis_url = nowhere

    done = store.do("run").assert_code(4)

    place = nowhere.removesuffix("/0")
    assert re.fullmatch(
        rf"online store {place}\S* is unavailable: .*; start it, or check REDIS_URL\n", done.err
    )
    assert store.offline() == expected()


def test_without_a_server_a_machine_is_still_told_what_was_published(
    store: Store, nowhere: str
) -> None:
    store.redis_url = nowhere

    done = store.do("run", "--json").assert_code(4)

    steps = done.document["steps"]
    assert [(step["step"], step["model"]) for step in steps] == [
        ("publish", "features_daily"),
        ("publish", "training_data"),
        ("push", "features_daily"),
    ]
    assert [step["status"] == "done" for step in steps] == [True, True, False]


def test_an_address_that_is_none_is_a_usage_error(store: Store) -> None:
    store.redis_url = "localhost:6379"
    done = store.do("run").assert_code(2)
    assert "REDIS_URL is not the address of a Redis server" in done.err


def test_the_embedded_server_is_started_on_demand_and_named(store: Store) -> None:
    store.redis_url = None
    try:
        done = store.command("run").assert_code(0)
        assert store.online() == newest(expected())
    finally:
        store.do("stop").assert_code(0)

    assert f"the embedded online store in {store.home / 'redis'} was started" in done.err


def test_a_group_that_is_not_online_needs_and_starts_no_server(store: Store, nowhere: str) -> None:
    declare(store, online=False)
    for store.redis_url in (nowhere, None):
        done = store.do("run").assert_code(0)

        assert store.offline() == expected()
        assert "pushed" not in done.out
        assert not (store.home / "redis").exists()


def test_what_was_not_published_yet_changes_nothing_online(store: Store, valkey: Server) -> None:
    store.do("run").assert_code(0)
    before = everything_in(valkey)
    changes: list[dict[str, Any]] = [
        {"key_prefix": "elsewhere"},
        {"ttl_days": 36_500},
        {"online": False},
        {"entity": ["day", "user_id"]},
        {"offline": "event_count_30d"},
        {"drop": "event_count_30d"},
    ]
    for change in changes:
        declare(store, **change)
        store.do("push").assert_code(0)
        assert everything_in(valkey) == before
        store.do("push", "--all").assert_code(0)
        assert everything_in(valkey) == before


def test_a_group_that_is_online_no_more_loses_its_keys_once_that_is_published(
    store: Store, valkey: Server
) -> None:
    store.do("run").assert_code(0)
    valkey.client().mset({"features:theirs": "text", "other": "text"})
    declare(store, online=False)

    done = store.do("run", "--group", "features_daily").assert_code(0)

    assert "pushed features_daily: not online any more, 8 removed -> redis://" in done.out
    left = {key for key in everything_in(valkey) if b"_contract" not in key}
    assert left == {b"features:theirs", b"other"}
    assert "pushed" not in store.do("push").assert_code(0).out
    declare(store, online=True)
    valkey.client().delete("features:theirs")
    store.do("run").assert_code(0)
    assert store.online() == newest(expected())


def test_all_pushes_what_did_not_change_too(store: Store) -> None:
    store.do("run").assert_code(0)

    (step,) = store.do("push", "--all", "--json").assert_code(0).document["steps"]

    assert (step["rows"], step["full"], step["day"]) == (8, True, "2024-03-30")


def test_the_rows_of_another_store_are_written_over_only_when_told(
    store: Store, built: Project, tmp_path: Path
) -> None:
    other = Store(copy(built, tmp_path / "other"), store.redis_url)
    other.do("run").assert_code(0)

    done = store.do("run").assert_code(3)

    assert "holds group features_daily of another store" in done.err
    assert store.offline() == expected()
    store.do("push", "--take-over").assert_code(0)
    store.do("push").assert_code(0)
    other.do("push").assert_code(3)


def test_newer_rows_are_written_over_only_when_told(store: Store) -> None:
    store.do("run").assert_code(0)
    store.project.now = "2024-03-20T00:00:00Z"

    done = store.do("push").assert_code(3)

    assert "to go back to that: --allow-older" in done.err
    assert store.online() == newest(expected())
    store.do("push", "--allow-older").assert_code(0)
    assert store.online() == newest(expected(days=[d for d in ALL_DAYS if d < date(2024, 3, 20)]))
