"""What is online after a push: the newest usable row of every entity, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
import redis

from materializer.get import read_row
from materializer.online import codec, selection
from materializer.online.push import PushReport
from materializer.online.state import Meta
from materializer.registry import Column, FeatureGroup
from tests.support.offline import FAR, Offline, at, rows
from tests.support.server import clicks

Push = Callable[..., PushReport]


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
    assert clicks(client) == {
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
        row = read_row(group, client, [user], FAR)
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
    offline.push(client)
    assert set(client.keys("features:ann*")) == {b"features:ann:1", b"features:ann:2"}
    assert read_row(wide, client, ["ann", "2"], FAR) == {
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
    meta = Meta.read(client, codec.meta_key("features_daily"))
    assert meta is not None
    assert (meta.pushed_at, meta.rows) == (FAR + timedelta(hours=1), 1)


def test_a_new_day_is_written_and_others_are_left_alone(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    go()
    client.delete("features:bob")
    offline.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    report = go()
    assert (report.rows, report.full, report.day) == (1, False, "2024-01-02")
    assert clicks(client) == {"features:ann": 2}


def test_missed_nights_are_caught_up(offline: Offline, client: redis.Redis, go: Push) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1, cid=1)})
    go()
    offline.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    offline.publish({"2024-01-03": rows("2024-01-03", bob=3)})
    assert go().rows == 2
    assert clicks(client) == {
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
    assert clicks(client) == {"features:ann": 2, "features:bob": 10}


def test_an_entity_that_left_its_newest_day_falls_back_to_an_older_row(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    history = {f"2024-01-{n:02}": rows(f"2024-01-{n:02}", ann=n) for n in range(1, 20)}
    offline.publish(history | {"2024-01-02": rows("2024-01-02", ann=2, bob=2)})
    offline.publish({"2024-01-20": rows("2024-01-20", ann=20, bob=20)})
    go()
    offline.publish({"2024-01-20": rows("2024-01-20", ann=20)})
    assert not go().full
    assert clicks(client) == {"features:ann": 20, "features:bob": 2}


def test_an_entity_with_no_row_left_loses_its_key(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    go()
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    report = go()
    assert (report.rows, report.deleted, report.full) == (1, 1, False)
    assert clicks(client) == {"features:ann": 1}


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
    assert clicks(client) == {"features:ann": 2}


def test_a_table_without_rows_leaves_no_keys(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    go()
    offline.publish({"2024-01-01": []})
    report = go(allow_older=True)
    assert (report.rows, report.deleted, report.day) == (0, 1, None)
    assert clicks(client) == {}


def test_several_files_of_a_day_with_rows_of_different_times(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    early, late = datetime(2024, 1, 2, 3), datetime(2024, 1, 2, 9)
    common = {"user_id": "ann", "secret": "", "day": date(2024, 1, 1)}
    offline.publish({"2024-01-01": [{**common, "clicks": 1, "available_at": late}]})
    for count, moment in [(2, early), (3, late + timedelta(hours=1)), (4, early)]:
        new = {**common, "clicks": count, "available_at": moment}
        bob = {**new, "user_id": "bob", "available_at": early - timedelta(hours=count)}
        offline.append(new, bob)
    offline.show()
    go()
    assert clicks(client) == {"features:ann": 3, "features:bob": 2}


def test_a_row_of_the_newest_day_that_is_not_available_yet_does_not_hide_an_older_one(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    offline.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    late = [{**row, "day": date(2024, 1, 2)} for row in rows("2024-01-08", bob=2)]
    offline.append(*late)
    offline.show()
    go(now=at("2024-01-03"))
    assert clicks(client) == {"features:ann": 2, "features:bob": 1}


@pytest.mark.parametrize("everything", [True, False])
def test_many_who_left_are_looked_for_in_parts(
    offline: Offline,
    client: redis.Redis,
    go: Push,
    monkeypatch: pytest.MonkeyPatch,
    everything: bool,
) -> None:
    monkeypatch.setattr(selection, "PART_ROWS", 3)
    names = [f"user{number}" for number in range(20)]
    many = dict.fromkeys(names, 1)
    offline.publish({"2024-01-01": rows("2024-01-01", **many)})
    offline.publish({"2024-01-02": rows("2024-01-02", **dict.fromkeys(names[:15], 2))})
    go()
    offline.publish({"2024-01-02": rows("2024-01-02", **dict.fromkeys(names[:4], 3))})
    assert go(everything=everything).rows == (20 if everything else 15)
    assert clicks(client) == {f"features:{name}": 1 for name in names} | {
        f"features:{name}": 3 for name in names[:4]
    }
