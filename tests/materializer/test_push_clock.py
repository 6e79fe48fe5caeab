"""What time does to a push, and what of a publish it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from materializer.errors import NotMaterialized, NotPublished, UnknownEntity
from materializer.get import read_row
from materializer.online.push import PushReport
from materializer.registry import FeatureGroup
from tests.support.offline import FAR, Offline, at, rows
from tests.support.server import clicks

Push = Callable[..., PushReport]


def test_a_row_is_pushed_when_it_becomes_available_though_nothing_was_published(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1),
            "2024-01-02": rows("2024-01-02", ann=2, bob=2),
        }
    )
    first = go(now=at("2024-01-02T23:59:59.999999"))
    assert (first.rows, first.day) == (1, "2024-01-01")
    assert clicks(client) == {"features:ann": 1}
    assert go(now=at("2024-01-02T23:59:59.999999")).up_to_date
    second = go(now=at("2024-01-03"))
    assert (second.rows, second.day, second.full) == (2, "2024-01-02", False)
    assert clicks(client) == {"features:ann": 2, "features:bob": 2}
    assert go(now=at("2024-01-04")).up_to_date


def test_a_publish_of_rows_for_later_changes_nothing_yet(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go(now=at("2024-01-02"))
    offline.publish({"2024-01-05": rows("2024-01-05", ann=5)})
    assert go(now=at("2024-01-03")).up_to_date
    assert go(now=at("2024-01-06")).rows == 1
    assert clicks(client) == {"features:ann": 5}


def test_of_the_rows_of_one_file_only_those_available_are_pushed(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    [ann, bob] = rows("2024-01-01", ann=1, bob=2)
    offline.publish({"2024-01-01": [ann, {**bob, "available_at": datetime(2024, 1, 2, 9)}]})
    go(now=at("2024-01-02T08:59:59.999999"))
    assert clicks(client) == {"features:ann": 1}
    go(now=at("2024-01-02T09:00:00"))
    assert clicks(client) == {"features:ann": 1, "features:bob": 2}


@pytest.fixture
def short_lived(offline: Offline) -> FeatureGroup:
    """The group with rows that are of use for two days."""
    offline.group = replace(offline.group, ttl_days=2)
    return offline.group


def test_a_row_expires_on_the_server_at_its_moment(
    offline: Offline, client: redis.Redis, go: Push, short_lived: FeatureGroup
) -> None:
    today = datetime.now(UTC).date()
    offline.publish({str(today - timedelta(days=1)): rows(str(today - timedelta(days=1)), ann=1)})
    go(now=datetime.now(UTC))
    ends = datetime.combine(today + timedelta(days=2), datetime.min.time(), UTC)
    assert client.execute_command("PEXPIRETIME", "features:ann") == ends.timestamp() * 1000  # type: ignore[no-untyped-call]


def test_a_row_that_expired_is_not_written_and_its_key_goes(
    offline: Offline, client: redis.Redis, go: Push, short_lived: FeatureGroup
) -> None:
    long_ago, today = "2024-01-01", str(datetime.now(UTC).date() - timedelta(days=1))
    offline.publish({long_ago: rows(long_ago, ann=1, bob=1), today: rows(today, bob=2)})
    client.set("features:ann", "stale")
    report = go(now=datetime.now(UTC))
    assert (report.rows, report.deleted) == (1, 1)
    assert clicks(client) == {"features:bob": 2}


def test_a_row_without_a_time_to_live_stays(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    assert client.ttl("features:ann") == -1


# What readers see


def test_a_group_that_was_never_published_is_told(offline: Offline, go: Push) -> None:
    with pytest.raises(NotPublished):
        go()


def test_a_publish_that_was_killed_halfway_is_not_pushed(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)}, spans=False)
    with pytest.raises(NotPublished):
        go()
    seen = offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    offline.publish({"2024-01-02": rows("2024-01-02", ann=2)}, spans=False)
    assert go().snapshot_id == str(seen)
    assert clicks(client) == {"features:ann": 1}


def test_a_file_that_no_snapshot_names_is_not_pushed(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    (file,) = (offline.settings.home / "iceberg").rglob("data/day=*/*.parquet")
    offline.publish({"2024-01-01": rows("2024-01-01", ann=2)}, spans=False)
    (file.parent / "half-written.parquet").write_bytes(b"PAR1")
    go()
    assert clicks(client) == {"features:ann": 1}


def test_get_tells_an_unknown_entity_from_a_group_that_was_never_pushed(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    with pytest.raises(NotMaterialized):
        read_row(group, client, ["ann"], FAR)
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    with pytest.raises(UnknownEntity):
        read_row(group, client, ["nobody"], FAR)
