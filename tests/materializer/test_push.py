"""What is online after a push: the newest usable row of every entity, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materializer import codec
from materializer.errors import NotMaterialized, NotPublished, UsageError
from materializer.online.lookup import get
from materializer.online.meta import read_meta
from materializer.online.push import PushReport, push
from materializer.registry import Column, FeatureGroup
from tests.support.offline import Offline, rows

FAR = datetime(2030, 1, 1, tzinfo=timezone.utc)
Push = Callable[..., PushReport]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def online(client: redis.Redis, group: FeatureGroup) -> dict[str, Any]:
    """Everything that is online of a group: key -> clicks."""
    found: dict[str, Any] = {}
    for key in sorted(cast("list[bytes]", client.keys("features:*"))):
        if not key.startswith(b"features:_"):
            contract_id, values = codec.decode_value(cast("bytes", client.get(key)))
            assert contract_id == group.contract.id
            found[key.decode()] = codec.row(group.contract, values)["clicks"]
    return found


# A first push, and what it writes


def test_the_first_push_writes_the_newest_row_of_every_entity_of_all_history(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1, bob=1, cid=1),
            "2024-01-02": rows("2024-01-02", ann=2, bob=2),
            "2024-01-09": rows("2024-01-09", ann=3),
        }
    )
    report = go()
    assert online(client, offline.group) == {
        "features:ann": 3,
        "features:bob": 2,
        "features:cid": 1,
    }
    assert (report.rows, report.deleted, report.day, report.full, report.up_to_date) == (
        3,
        0,
        "2024-01-09",
        True,
        False,
    )


def test_the_stored_bytes_are_the_public_format(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    snapshot = offline.publish({"2024-01-07": rows("2024-01-07", ann=1)})
    go(now=at("2024-01-08T00:00:00.5"))
    contract = group.contract.id
    assert client.get("features:ann") == (
        f'["{contract}","2024-01-07",1,"2024-01-08T00:00:00Z"]'.encode()
    )
    assert client.get(f"features:_contract:{contract}") == (
        b'{"group":"features_daily","entity":["user_id"],"columns":[{"name":"day","type":"date"},'
        b'{"name":"clicks","type":"int64"},{"name":"available_at","type":"timestamp"}]}'
    )
    assert json.loads(client.get("features:_meta:features_daily") or b"") == {
        "store_id": offline.store_id,
        "snapshot_id": str(snapshot),
        "day": "2024-01-07",
        "rows": 1,
        "contract": contract,
        "pushed_at": "2024-01-08T00:00:00.500000Z",
        "key_prefix": "features",
        "ttl_days": None,
    }
    assert client.dbsize() == 3


def test_ids_of_any_text_are_found_again(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    ids = ["a:b", "%41", "a/b c", 'say "hi"', "\\", "\x00\x1f\r\n", "😀", "é" * 5_000, "_meta", "*"]
    offline.publish({"2024-01-01": rows("2024-01-01", **{user: n for n, user in enumerate(ids)})})
    assert go().rows == len(ids)
    for number, user in enumerate(ids):
        row = get(group, client, [user])
        assert row == {
            "day": "2024-01-01",
            "clicks": number,
            "available_at": "2024-01-02T00:00:00Z",
        }


def test_a_key_may_have_several_parts(
    home: Path, client: redis.Redis, group: FeatureGroup, offline: Offline
) -> None:
    wide = replace(
        group, entity=("user_id", "shop"), columns=(*group.columns, Column("shop", "int64"))
    )
    offline.group = wide
    offline.publish({"2024-01-01": [{**rows("2024-01-01", ann=n)[0], "shop": n} for n in (1, 2)]})
    push(wide, offline.catalog, client, now=FAR)
    assert set(client.keys("features:ann*")) == {b"features:ann:1", b"features:ann:2"}
    assert get(wide, client, ["ann", "2"]) == {
        "day": "2024-01-01",
        "clicks": 2,
        "available_at": "2024-01-02T00:00:00Z",
    }


def test_a_large_push_is_whole(offline: Offline, client: redis.Redis, go: Push) -> None:
    many = {f"user{n}": n for n in range(30_000)}
    offline.publish({"2024-01-01": rows("2024-01-01", **many)})
    told: list[tuple[int, int]] = []
    assert go(progress=lambda done, total: told.append((done, total))).rows == 30_000
    assert client.dbsize() == 30_002
    assert client.get("features:user29999") is not None
    assert told[-1] == (30_000, 30_000)
    assert told == sorted(told)
    assert len(told) > 2


# What changed, and only that


def test_nothing_new_is_up_to_date_and_writes_only_meta(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    client.delete("features:ann")
    report = go(now=FAR + timedelta(hours=1))
    assert (report.rows, report.deleted, report.up_to_date, report.full) == (0, 0, True, False)
    assert client.get("features:ann") is None
    meta = read_meta(client, "features_daily")
    assert meta is not None
    assert (meta.pushed_at, meta.rows) == ("2030-01-01T01:00:00Z", 1)


def test_a_new_day_is_written_and_others_are_left_alone(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    go()
    client.delete("features:bob")
    offline.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    report = go()
    assert (report.rows, report.full, report.day) == (1, False, "2024-01-02")
    assert online(client, offline.group) == {"features:ann": 2}


def test_missed_nights_are_caught_up(offline: Offline, client: redis.Redis, go: Push) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1, cid=1)})
    go()
    offline.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    offline.publish({"2024-01-03": rows("2024-01-03", bob=3)})
    assert go().rows == 2
    assert online(client, offline.group) == {
        "features:ann": 2,
        "features:bob": 3,
        "features:cid": 1,
    }


def test_a_healed_older_day_does_not_hide_a_newer_row(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1, bob=1),
            "2024-01-02": rows("2024-01-02", ann=2),
        }
    )
    go()
    offline.publish({"2024-01-01": rows("2024-01-01", ann=10, bob=10)})
    assert not go().full
    assert online(client, offline.group) == {"features:ann": 2, "features:bob": 10}


def test_an_entity_that_left_its_newest_day_falls_back_to_an_older_row(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    history = {f"2024-01-{n:02}": rows(f"2024-01-{n:02}", ann=n) for n in range(1, 20)}
    offline.publish(history | {"2024-01-02": rows("2024-01-02", ann=2, bob=2)})
    offline.publish({"2024-01-20": rows("2024-01-20", ann=20, bob=20)})
    go()
    offline.publish({"2024-01-20": rows("2024-01-20", ann=20)})
    assert not go().full
    assert online(client, offline.group) == {"features:ann": 20, "features:bob": 2}


def test_an_entity_with_no_row_left_loses_its_key(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    go()
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    report = go()
    assert (report.rows, report.deleted, report.full) == (1, 1, False)
    assert online(client, offline.group) == {"features:ann": 1}


def test_a_day_taken_away_takes_its_entities_away(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1, bob=1),
            "2024-01-02": rows("2024-01-02", ann=2),
        }
    )
    go()
    offline.publish({"2024-01-01": []})
    assert go().deleted == 1
    assert online(client, offline.group) == {"features:ann": 2}


def test_a_table_without_rows_leaves_no_keys(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    offline.publish({"2024-01-01": []})
    report = go(allow_older=True)
    assert (report.rows, report.deleted, report.day) == (0, 1, None)
    assert online(client, offline.group) == {}


def test_several_files_of_a_day_with_rows_of_different_times(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    early, late = datetime(2024, 1, 2, 3), datetime(2024, 1, 2, 9)
    common = {"user_id": "ann", "secret": "", "day": date(2024, 1, 1)}
    offline.publish({"2024-01-01": [{**common, "clicks": 1, "available_at": late}]})
    for clicks, moment in [(2, early), (3, late + timedelta(hours=1)), (4, early)]:
        new = {**common, "clicks": clicks, "available_at": moment}
        bob = {**new, "user_id": "bob", "available_at": early - timedelta(hours=clicks)}
        offline.table.append(pa.Table.from_pylist([new, bob], schema=offline.arrow))
    snapshot = offline.table.current_snapshot()
    assert snapshot is not None
    offline.show(snapshot.snapshot_id)
    go()
    assert online(client, offline.group) == {"features:ann": 3, "features:bob": 2}


# The clock


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
    assert online(client, offline.group) == {"features:ann": 1}
    assert go(now=at("2024-01-02T23:59:59.999999")).up_to_date
    second = go(now=at("2024-01-03"))
    assert (second.rows, second.day, second.full) == (2, "2024-01-02", False)
    assert online(client, offline.group) == {"features:ann": 2, "features:bob": 2}
    assert go(now=at("2024-01-04")).up_to_date


def test_a_publish_of_rows_for_later_changes_nothing_yet(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go(now=at("2024-01-02"))
    offline.publish({"2024-01-05": rows("2024-01-05", ann=5)})
    assert go(now=at("2024-01-03")).up_to_date
    assert go(now=at("2024-01-06")).rows == 1
    assert online(client, offline.group) == {"features:ann": 5}


@pytest.fixture
def short_lived(offline: Offline) -> FeatureGroup:
    """The group with rows that are of use for two days."""
    offline.group = replace(offline.group, ttl_days=2)
    return offline.group


def test_a_row_expires_on_the_server_at_its_moment(
    offline: Offline, client: redis.Redis, go: Push, short_lived: FeatureGroup
) -> None:
    today = datetime.now(timezone.utc).date()
    offline.publish({str(today - timedelta(days=1)): rows(str(today - timedelta(days=1)), ann=1)})
    go(now=datetime.now(timezone.utc))
    ends = datetime.combine(today + timedelta(days=2), datetime.min.time(), timezone.utc)
    assert client.execute_command("PEXPIRETIME", "features:ann") == ends.timestamp() * 1000  # type: ignore[no-untyped-call]


def test_a_row_that_expired_is_not_written_and_its_key_goes(
    offline: Offline, client: redis.Redis, go: Push, short_lived: FeatureGroup
) -> None:
    long_ago, today = "2024-01-01", str(datetime.now(timezone.utc).date() - timedelta(days=1))
    offline.publish({long_ago: rows(long_ago, ann=1, bob=1), today: rows(today, bob=2)})
    client.set("features:ann", "stale")
    report = go(now=datetime.now(timezone.utc))
    assert (report.rows, report.deleted) == (1, 1)
    assert online(client, short_lived) == {"features:bob": 2}


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
    assert online(client, offline.group) == {"features:ann": 1}


def test_a_file_that_no_snapshot_names_is_not_pushed(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    (file,) = (offline.settings.home / "iceberg").rglob("data/day=*/*.parquet")
    snapshot = offline.table.current_snapshot()
    assert snapshot is not None
    offline.publish({"2024-01-01": rows("2024-01-01", ann=2)}, spans=False)
    offline.show(snapshot.snapshot_id)
    (file.parent / "half-written.parquet").write_bytes(b"PAR1")
    go()
    assert online(client, offline.group) == {"features:ann": 1}


def test_get_tells_an_unknown_entity_from_a_group_that_was_never_pushed(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    with pytest.raises(NotMaterialized):
        get(group, client, ["ann"])
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    assert get(group, client, ["nobody"]) is None
    with pytest.raises(UsageError, match="has the key user_id"):
        get(group, client, ["ann", "bob"])


# All of it at once

USERS = ["ann", "bob", "cid", "d:e"]
DAYS = [f"2024-01-{n:02}" for n in range(1, 6)]
publishes = st.dictionaries(
    st.sampled_from(DAYS),
    st.dictionaries(st.sampled_from(USERS), st.integers(0, 9)),
    min_size=1,
    max_size=3,
)
steps = st.lists(
    st.tuples(st.lists(publishes, max_size=2), st.integers(0, 7 * 24), st.booleans()),
    min_size=1,
    max_size=5,
)


def newest(history: Mapping[str, Mapping[str, int]], now: datetime) -> dict[str, int]:
    """Say in plain Python what must be online."""
    found = {}
    for day in sorted(history):
        if at(day) + timedelta(days=1) <= now:
            for user, clicks in history[day].items():
                found[codec.key("features", [user])] = clicks
    return found


@pytest.fixture
def fresh(tmp_path: Path, group: FeatureGroup) -> Iterator[Callable[[], Offline]]:
    """Make one offline store after another."""
    made: list[Offline] = []

    def make() -> Offline:
        made.append(Offline(tmp_path / f"home{len(made)}", group))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
def test_after_every_push_exactly_the_newest_usable_rows_are_online(
    client: redis.Redis, fresh: Callable[[], Offline], steps: Any
) -> None:
    client.flushall()
    offline = fresh()
    history: dict[str, Mapping[str, int]] = {"2024-01-01": {"ann": 0}}
    offline.publish({"2024-01-01": rows("2024-01-01", ann=0)})
    for published, hours, everything in steps:
        for days in published:
            history |= days
            offline.publish({day: rows(day, **users) for day, users in days.items()})
        now = at("2024-01-01") + timedelta(hours=hours)
        push(
            offline.group,
            offline.catalog,
            client,
            now=now,
            everything=everything,
            allow_older=True,
        )
        assert online(client, offline.group) == newest(history, now)
