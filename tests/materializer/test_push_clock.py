"""What time does to a push, and what of a publish it sees."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from materializer.errors import NotMaterialized, NotPublished, UnknownEntity
from tests.support.offline import Stores, at, rows


def test_a_row_is_pushed_when_it_becomes_available_though_nothing_was_published(
    stores: Stores,
) -> None:
    stores.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1),
            "2024-01-02": rows("2024-01-02", ann=2, bob=2),
        }
    )
    first = stores.go(now=at("2024-01-02T23:59:59.999999"))
    assert (first.rows, first.day) == (1, "2024-01-01")
    assert stores.clicks() == {"features:ann": 1}
    assert stores.go(now=at("2024-01-02T23:59:59.999999")).up_to_date
    second = stores.go(now=at("2024-01-03"))
    assert (second.rows, second.day, second.full) == (2, "2024-01-02", False)
    assert stores.clicks() == {"features:ann": 2, "features:bob": 2}
    assert stores.go(now=at("2024-01-04")).up_to_date


def test_a_publish_of_rows_for_later_changes_nothing_yet(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go(now=at("2024-01-02"))
    stores.publish({"2024-01-05": rows("2024-01-05", ann=5)})
    assert stores.go(now=at("2024-01-03")).up_to_date
    assert stores.go(now=at("2024-01-06")).rows == 1
    assert stores.clicks() == {"features:ann": 5}


def test_of_the_rows_of_one_file_only_those_available_are_pushed(stores: Stores) -> None:
    [ann, bob] = rows("2024-01-01", ann=1, bob=2)
    stores.publish({"2024-01-01": [ann, {**bob, "available_at": datetime(2024, 1, 2, 9)}]})
    stores.go(now=at("2024-01-02T08:59:59.999999"))
    assert stores.clicks() == {"features:ann": 1}
    stores.go(now=at("2024-01-02T09:00:00"))
    assert stores.clicks() == {"features:ann": 1, "features:bob": 2}


@pytest.fixture
def short_lived(stores: Stores) -> Stores:
    """The stores of a group with rows that are of use for two days."""
    stores.group = replace(stores.group, ttl_days=2)
    return stores


def test_a_row_expires_on_the_server_at_its_moment(short_lived: Stores) -> None:
    today = datetime.now(UTC).date()
    yesterday = str(today - timedelta(days=1))
    short_lived.publish({yesterday: rows(yesterday, ann=1)})
    short_lived.go(now=datetime.now(UTC))
    ends = datetime.combine(today + timedelta(days=2), datetime.min.time(), UTC)
    assert short_lived.client.pexpiretime("features:ann") == ends.timestamp() * 1000


def test_a_row_that_expired_is_not_written_and_its_key_goes(short_lived: Stores) -> None:
    long_ago, today = "2024-01-01", str(datetime.now(UTC).date() - timedelta(days=1))
    short_lived.publish({long_ago: rows(long_ago, ann=1, bob=1), today: rows(today, bob=2)})
    short_lived.client.set("features:ann", "stale")
    report = short_lived.go(now=datetime.now(UTC))
    assert (report.rows, report.deleted) == (1, 1)
    assert short_lived.clicks() == {"features:bob": 2}


def test_a_row_without_a_time_to_live_stays(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go()
    assert stores.client.ttl("features:ann") == -1


# What readers see


def test_a_group_that_was_never_published_is_told(stores: Stores) -> None:
    with pytest.raises(NotPublished):
        stores.go()


def test_a_publish_that_was_killed_halfway_is_not_pushed(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)}, spans=False)
    with pytest.raises(NotPublished):
        stores.go()
    seen = stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.publish({"2024-01-02": rows("2024-01-02", ann=2)}, spans=False)
    assert stores.go().snapshot_id == str(seen)
    assert stores.clicks() == {"features:ann": 1}


def test_a_file_that_no_snapshot_names_is_not_pushed(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    (file,) = (stores.settings.home / "iceberg").rglob("data/day=*/*.parquet")
    stores.publish({"2024-01-01": rows("2024-01-01", ann=2)}, spans=False)
    (file.parent / "half-written.parquet").write_bytes(b"PAR1")
    stores.go()
    assert stores.clicks() == {"features:ann": 1}


def test_get_tells_an_unknown_entity_from_a_group_that_was_never_pushed(stores: Stores) -> None:
    with pytest.raises(NotMaterialized):
        stores.read("ann")
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go()
    with pytest.raises(UnknownEntity):
        stores.read("nobody")
