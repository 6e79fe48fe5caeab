"""What goes wrong in a push: servers that end, processes that are killed, and what is refused."""

import json
import os
import signal
import subprocess
import sys
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
from materializer.online.connection import connect
from materializer.online.owners import claim, group_owner
from tests.support.offline import Stores, rows
from tests.support.server import Server

MANY = 30_000


# Ended in the middle


def test_a_server_that_is_down_is_told_in_one_line(stores: Stores, server: Server) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    server.kill()
    with pytest.raises(OnlineStoreUnavailable) as caught:
        stores.go()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == UNAVAILABLE


def test_a_push_whose_server_was_killed_is_completed_by_the_next(
    stores: Stores, server: Server
) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    stores.go()
    before = stores.meta()
    wanted = {f"u{n}": 2 for n in range(1, MANY)}
    stores.publish({"2024-01-01": rows("2024-01-01", **wanted)})
    with pytest.raises(OnlineStoreUnavailable):
        stores.go(progress=lambda done, total: server.kill())
    server.start()
    meta = stores.meta()
    assert before is not None
    assert meta == before.model_copy(update={"unfinished": True})
    report = stores.go()
    assert (report.full, report.rows, report.deleted) == (True, MANY - 1, 1)
    assert stores.clicks() == {f"features:{user}": count for user, count in wanted.items()}
    assert stores.go().up_to_date


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


def push_and_die(stores: Stores, server: Server) -> None:
    home, group = str(stores.settings.home), stores.group.name
    # What it leaves behind is to go with the test's own folder.
    environment = os.environ | {"TMPDIR": str(stores.settings.home)}
    command = [sys.executable, "-c", PUSH_AND_DIE, home, server.url, group]
    child = subprocess.run(command, env=environment)
    assert child.returncode == -signal.SIGKILL


def test_a_push_that_was_killed_is_completed_by_the_next(stores: Stores, server: Server) -> None:
    first = {f"u{n}": 1 for n in range(MANY)}
    stores.publish({"2024-01-01": rows("2024-01-01", **first)})
    push_and_die(stores, server)
    assert stores.meta() is None
    assert 0 < len(stores.clicks()) < MANY
    stores.go()
    assert stores.clicks() == {f"features:{user}": count for user, count in first.items()}


def test_what_a_killed_push_wrote_and_a_publish_took_back_does_not_stay(
    stores: Stores, server: Server
) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go()
    stores.publish({"2024-01-02": rows("2024-01-02", **{f"u{n}": 2 for n in range(MANY)})})
    push_and_die(stores, server)
    stores.publish({"2024-01-02": rows("2024-01-02", bob=2)})
    assert len(stores.clicks()) > 1000
    report = stores.go()
    assert report.full
    assert stores.clicks() == {"features:ann": 1, "features:bob": 2}


def test_a_server_that_stops_answering_is_given_up(stores: Stores, server: Server) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    with pytest.raises(OnlineStoreUnavailable), server.client(timeout=0.3) as client:
        stores.push(client, progress=lambda done, total: server.pause())
    server.resume()
    assert stores.go().rows == MANY


def test_a_server_out_of_memory_fails_the_push_and_more_memory_completes_it(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    used = cast("int", stores.client.info("memory")["used_memory"])
    stores.client.config_set("maxmemory", used + 500_000)
    with pytest.raises(OnlineWriteFailed, match=r"rejected a write: .*maxmemory") as caught:
        stores.go()
    assert "\n" not in str(caught.value)
    assert stores.meta() is None
    stores.client.config_set("maxmemory", 0)
    assert stores.go().rows == MANY
    assert len(stores.clicks()) == MANY


def test_a_flushed_server_is_filled_again(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    stores.go()
    stores.client.flushall()
    report = stores.go()
    assert (report.full, report.rows) == (True, 2)
    assert stores.clicks() == {"features:ann": 2, "features:bob": 1}


def test_a_password_is_no_hindrance(stores: Stores, server: Server) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    server.client().config_set("requirepass", "s3cret")
    with redis.Redis(port=server.port, password="s3cret") as client:
        assert stores.push(client).rows == 1


def test_the_embedded_server_is_pushed_to_like_any_other(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    client = connect(stores.settings)
    assert stores.push(client).rows == MANY
    assert stores.push(client).up_to_date


# Everything, at somebody's wish


def test_everything_repairs_what_was_lost_and_removes_what_nobody_knows(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.go()
    orphan = cast("bytes", stores.client.get("features:ann"))
    foreign = {
        "features:theirs": "text",
        "features:two:parts": orphan,
        "features2:x": orphan,
        "features:other-group": '["00000000",1]',
    }
    stores.client.set("features:bob", "not a row")
    stores.client.set("features:orphan", orphan)
    stores.client.mset(foreign)  # type: ignore[arg-type]
    stores.client.hset("features:hash", "a", "b")
    assert stores.go().up_to_date
    report = stores.go(everything=True)
    assert (report.full, report.rows, report.deleted) == (True, 2, 1)
    assert stores.read("bob")["clicks"] == 1
    assert stores.client.exists("features:orphan") == 0
    assert stores.client.exists("features:hash", *foreign) == 1 + len(foreign)


def test_a_meta_that_is_not_ours_stops_a_push_unless_everything_is_written(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.client.set("features:_meta:features_daily", "something")
    with pytest.raises(UnreadableValue, match="materializer push --all"):
        stores.go()
    assert stores.go(everything=True).rows == 1


# Backwards, or over others


def test_an_older_snapshot_is_not_pushed_unless_told(stores: Stores) -> None:
    old = stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.publish({"2024-01-01": rows("2024-01-01", ann=2, cid=2)})
    stores.go()
    stores.table.manage_snapshots().rollback_to_snapshot(old).commit()
    stores.show()
    with pytest.raises(PushRefused, match="to go back to that: --allow-older") as caught:
        stores.go()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == REFUSED
    assert stores.clicks() == {"features:ann": 2, "features:cid": 2}
    stores.go(allow_older=True)
    assert stores.clicks() == {"features:ann": 1, "features:bob": 1}
    assert stores.go().up_to_date


def test_a_newer_snapshot_is_pushed_although_those_between_have_expired(stores: Stores) -> None:
    pushed = stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go()
    # As a receipt does.
    stores.table.manage_snapshots().create_tag(pushed, "training_data-2-448b0c8b").commit()
    between = stores.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    stores.publish({"2024-01-01": rows("2024-01-01", ann=3)})
    ids = [s.snapshot_id for s in stores.table.snapshots()]
    current = stores.table.current_snapshot()
    assert current is not None
    gone = [id_ for id_ in ids if id_ not in (pushed, current.snapshot_id)]
    assert between in gone
    stores.table.maintenance.expire_snapshots().by_ids(gone).commit()

    stores.go()

    assert stores.clicks() == {"features:ann": 3}


def test_an_older_snapshot_is_not_pushed_either_when_its_own_past_has_expired(
    stores: Stores,
) -> None:
    first = stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    old = stores.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    stores.publish({"2024-01-01": rows("2024-01-01", ann=3)})
    stores.go()
    newest = stores.table.current_snapshot()
    assert newest is not None
    stores.table.manage_snapshots().create_tag(newest.snapshot_id, "newest").commit()
    stores.table.manage_snapshots().rollback_to_snapshot(old).commit()
    stores.show()
    stores.table.maintenance.expire_snapshots().by_ids([first]).commit()

    with pytest.raises(PushRefused, match="to go back to that: --allow-older"):
        stores.go()


def test_an_older_clock_is_not_followed_unless_told(stores: Stores) -> None:
    stores.publish(
        {"2024-01-01": rows("2024-01-01", ann=1), "2024-01-02": rows("2024-01-02", ann=2, bob=2)}
    )
    stores.go()
    back = datetime(2024, 1, 2, tzinfo=UTC)
    with pytest.raises(PushRefused, match=r"holds 2024-01-02, and the newest .* is 2024-01-01;"):
        stores.go(now=back)
    report = stores.go(now=back, allow_older=True)
    assert (report.rows, report.deleted, report.full) == (1, 1, True)
    assert stores.clicks() == {"features:ann": 1}


def test_another_stores_rows_are_not_replaced_unless_told(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go()
    meta = json.loads(cast("bytes", stores.client.get("features:_meta:features_daily")))
    stores.client.set("features:zoe", cast("bytes", stores.client.get("features:ann")))
    theirs = json.dumps(meta | {"store_id": "theirs", "day": "2099-01-01"})
    stores.client.set("features:_meta:features_daily", theirs)
    owner = group_owner(stores.published, "theirs")
    claim(stores.client, "group", "features_daily", owner, take_over=True)
    with pytest.raises(PushRefused, match=r"another store \(theirs\), .* --take-over") as caught:
        stores.go()
    assert "\n" not in str(caught.value)
    with pytest.raises(PushRefused):
        stores.go(everything=True, allow_older=True)
    assert stores.client.get("features:_meta:features_daily") == theirs.encode()
    report = stores.go(take_over=True)
    assert (report.full, report.rows, report.deleted) == (True, 1, 1)
    assert stores.clicks() == {"features:ann": 1}


def test_a_snapshot_that_is_gone_means_everything(stores: Stores) -> None:
    old = stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.go()
    stores.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    table = stores.table
    gone = [s.snapshot_id for s in table.snapshots()[:-1]]
    assert old in gone
    table.maintenance.expire_snapshots().by_ids(gone).commit()
    report = stores.go()
    assert (report.full, report.rows, report.deleted) == (True, 1, 1)
    assert stores.clicks() == {"features:ann": 2}
