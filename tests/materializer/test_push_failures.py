"""What goes wrong in a push: servers that end, processes that are killed, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

import pytest
import redis

from materializer.errors import (
    REFUSED,
    UNAVAILABLE,
    OnlineStoreUnavailable,
    OnlineWriteFailed,
    PushRefused,
    UnreadableValue,
)
from materializer.get import read_row
from materializer.online import codec
from materializer.online.connection import connect
from materializer.online.push import PushReport
from materializer.online.state import Meta
from tests.support.offline import FAR, Offline, rows
from tests.support.server import Server, clicks

Push = Callable[..., PushReport]
MANY = 30_000


# Ended in the middle


def test_a_server_that_is_down_is_told_in_one_line(
    offline: Offline, server: Server, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    server.kill()
    with pytest.raises(OnlineStoreUnavailable) as caught:
        go()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == UNAVAILABLE


def test_a_push_whose_server_was_killed_is_completed_by_the_next(
    offline: Offline, server: Server, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    go()
    before = Meta.read(client, codec.meta_key("features_daily"))
    wanted = {f"u{n}": 2 for n in range(1, MANY)}
    offline.publish({"2024-01-01": rows("2024-01-01", **wanted)})
    with pytest.raises(OnlineStoreUnavailable):
        go(progress=lambda done, total: server.kill())
    server.start()
    meta = Meta.read(client, codec.meta_key("features_daily"))
    assert before is not None
    assert meta == before.model_copy(update={"unfinished": True})
    report = go()
    assert (report.full, report.rows, report.deleted) == (True, MANY - 1, 1)
    assert clicks(client) == {f"features:{user}": count for user, count in wanted.items()}
    assert go().up_to_date


PUSH_AND_DIE = """
import os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
import redis
from materializer.config import Settings
from materializer.offline.catalog import open_catalog
from materializer.offline.snapshot import open_snapshot
from materializer.online.push import push_group
home, url, group = sys.argv[1:]
push_group(
    open_snapshot(open_catalog(Settings(home=Path(home))), group),
    redis.Redis.from_url(url),
    now=datetime(2030, 1, 1, tzinfo=timezone.utc),
    progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL),
)
"""


def push_and_die(offline: Offline, server: Server) -> None:
    home, group = str(offline.settings.home), offline.group.name
    # What it leaves behind is to go with the test's own folder.
    environment = os.environ | {"TMPDIR": str(offline.settings.home)}
    command = [sys.executable, "-c", PUSH_AND_DIE, home, server.url, group]
    child = subprocess.run(command, env=environment)
    assert child.returncode == -signal.SIGKILL


def test_a_push_that_was_killed_is_completed_by_the_next(
    offline: Offline, server: Server, client: redis.Redis, go: Push
) -> None:
    first = {f"u{n}": 1 for n in range(MANY)}
    offline.publish({"2024-01-01": rows("2024-01-01", **first)})
    push_and_die(offline, server)
    assert Meta.read(client, codec.meta_key("features_daily")) is None
    assert 0 < len(clicks(client)) < MANY
    go()
    assert clicks(client) == {f"features:{user}": count for user, count in first.items()}


def test_what_a_killed_push_wrote_and_a_publish_took_back_does_not_stay(
    offline: Offline, server: Server, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    offline.publish({"2024-01-02": rows("2024-01-02", **{f"u{n}": 2 for n in range(MANY)})})
    push_and_die(offline, server)
    offline.publish({"2024-01-02": rows("2024-01-02", bob=2)})
    assert len(clicks(client)) > 1000
    report = go()
    assert report.full
    assert clicks(client) == {"features:ann": 1, "features:bob": 2}


def test_a_server_that_stops_answering_is_given_up(
    offline: Offline, server: Server, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    with pytest.raises(OnlineStoreUnavailable), server.client(timeout=0.3) as client:
        offline.push(client, progress=lambda done, total: server.pause())
    server.resume()
    assert go().rows == MANY


def test_a_server_out_of_memory_fails_the_push_and_more_memory_completes_it(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    used = cast("int", client.info("memory")["used_memory"])
    client.config_set("maxmemory", used + 500_000)
    with pytest.raises(OnlineWriteFailed, match=r"rejected a write: .*maxmemory") as caught:
        go()
    assert "\n" not in str(caught.value)
    assert Meta.read(client, codec.meta_key("features_daily")) is None
    client.config_set("maxmemory", 0)
    assert go().rows == MANY
    assert len(clicks(client)) == MANY


def test_a_flushed_server_is_filled_again(offline: Offline, client: redis.Redis, go: Push) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    offline.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    go()
    client.flushall()
    report = go()
    assert (report.full, report.rows) == (True, 2)
    assert clicks(client) == {"features:ann": 2, "features:bob": 1}


def test_a_password_is_no_hindrance(offline: Offline, server: Server) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    server.client().config_set("requirepass", "s3cret")
    with redis.Redis(port=server.port, password="s3cret") as client:
        assert offline.push(client).rows == 1


def test_the_embedded_server_is_pushed_to_like_any_other(offline: Offline) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    client = connect(offline.settings)
    assert offline.push(client).rows == MANY
    assert offline.push(client).up_to_date


# Everything, at somebody's wish


def test_everything_repairs_what_was_lost_and_removes_what_nobody_knows(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    go()
    orphan = cast("bytes", client.get("features:ann"))
    foreign = {
        "features:theirs": "text",
        "features:two:parts": orphan,
        "features2:x": orphan,
        "features:other-group": '["00000000",1]',
    }
    client.delete("features:bob")
    client.set("features:orphan", orphan)
    client.mset(foreign)  # type: ignore[arg-type]
    client.hset("features:hash", "a", "b")
    assert go().up_to_date
    report = go(everything=True)
    assert (report.full, report.rows, report.deleted) == (True, 2, 1)
    assert read_row(offline.group, client, ["bob"], FAR)["clicks"] == 1
    assert client.exists("features:orphan") == 0
    assert client.exists("features:hash", *foreign) == 1 + len(foreign)


def test_a_meta_that_is_not_ours_stops_a_push_unless_everything_is_written(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    client.set("features:_meta:features_daily", "something")
    with pytest.raises(UnreadableValue, match="materializer push --all"):
        go()
    assert go(everything=True).rows == 1


# Backwards, or over others


def test_an_older_snapshot_is_not_pushed_unless_told(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    old = offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    offline.publish({"2024-01-01": rows("2024-01-01", ann=2, cid=2)})
    go()
    offline.table.manage_snapshots().rollback_to_snapshot(old).commit()
    offline.show()
    with pytest.raises(PushRefused, match="to go back to that: --allow-older") as caught:
        go()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == REFUSED
    assert clicks(client) == {"features:ann": 2, "features:cid": 2}
    go(allow_older=True)
    assert clicks(client) == {"features:ann": 1, "features:bob": 1}
    assert go().up_to_date


def test_a_newer_snapshot_is_pushed_although_those_between_have_expired(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    pushed = offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    # As a receipt does.
    offline.table.manage_snapshots().create_tag(pushed, "training_data-2-448b0c8b").commit()
    between = offline.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    offline.publish({"2024-01-01": rows("2024-01-01", ann=3)})
    ids = [s.snapshot_id for s in offline.table.snapshots()]
    current = offline.table.current_snapshot()
    assert current is not None
    gone = [id_ for id_ in ids if id_ not in (pushed, current.snapshot_id)]
    assert between in gone
    offline.table.maintenance.expire_snapshots().by_ids(gone).commit()

    go()

    assert clicks(client) == {"features:ann": 3}


def test_an_older_snapshot_is_not_pushed_either_when_its_own_past_has_expired(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    first = offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    old = offline.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    offline.publish({"2024-01-01": rows("2024-01-01", ann=3)})
    go()
    newest = offline.table.current_snapshot()
    assert newest is not None
    offline.table.manage_snapshots().create_tag(newest.snapshot_id, "newest").commit()
    offline.table.manage_snapshots().rollback_to_snapshot(old).commit()
    offline.show()
    offline.table.maintenance.expire_snapshots().by_ids([first]).commit()

    with pytest.raises(PushRefused, match="to go back to that: --allow-older"):
        go()


def test_an_older_clock_is_not_followed_unless_told(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish(
        {"2024-01-01": rows("2024-01-01", ann=1), "2024-01-02": rows("2024-01-02", ann=2, bob=2)}
    )
    go()
    back = datetime(2024, 1, 2, tzinfo=UTC)
    with pytest.raises(PushRefused, match=r"holds 2024-01-02, and the newest .* is 2024-01-01;"):
        go(now=back)
    report = go(now=back, allow_older=True)
    assert (report.rows, report.deleted, report.full) == (1, 1, False)
    assert clicks(client) == {"features:ann": 1}


def test_another_stores_rows_are_not_replaced_unless_told(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    meta = json.loads(cast("bytes", client.get("features:_meta:features_daily")))
    client.set("features:zoe", cast("bytes", client.get("features:ann")))
    theirs = json.dumps(meta | {"store_id": "theirs", "day": "2099-01-01"})
    client.set("features:_meta:features_daily", theirs)
    with pytest.raises(PushRefused, match=r"another store \(theirs\); .* --take-over") as caught:
        go()
    assert "\n" not in str(caught.value)
    with pytest.raises(PushRefused):
        go(everything=True, allow_older=True)
    assert client.get("features:_meta:features_daily") == theirs.encode()
    report = go(take_over=True)
    assert (report.full, report.rows, report.deleted) == (True, 1, 1)
    assert clicks(client) == {"features:ann": 1}


def test_a_snapshot_that_is_gone_means_everything(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    old = offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    go()
    offline.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    table = offline.table
    gone = [s.snapshot_id for s in table.snapshots()[:-1]]
    assert old in gone
    table.maintenance.expire_snapshots().by_ids(gone).commit()
    report = go()
    assert (report.full, report.rows, report.deleted) == (True, 1, 1)
    assert clicks(client) == {"features:ann": 2}
