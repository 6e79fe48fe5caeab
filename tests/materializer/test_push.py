"""What is online after a push: the newest usable row of every entity, and nothing else."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from materializer.online import selection
from materializer.registry import Column, FeatureGroup
from tests.support.offline import FAR, Stores, at, rows

# A first push, and what it writes


def test_the_first_push_writes_the_newest_row_of_every_entity_of_all_history(
    stores: Stores,
) -> None:
    stores.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1, bob=1, cid=1),
            "2024-01-02": rows("2024-01-02", ann=2, bob=2),
            "2024-01-09": rows("2024-01-09", ann=3),
        }
    )
    report = stores.go()
    assert stores.clicks() == {
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


def test_the_stored_bytes_are_the_public_format(stores: Stores) -> None:
    snapshot = stores.publish({"2024-01-07": rows("2024-01-07", ann=1)})
    stores.go(now=at("2024-01-08T00:00:00.5"))
    contract = stores.published.contract.id
    assert stores.client.get("features:ann") == (
        f'["{contract}","2024-01-07",1,"2024-01-08T00:00:00Z"]'.encode()
    )
    text = (
        f'{{"store_id":"{stores.store_id}","group":"features_daily","definition":null,'
        '"entity":["user_id"],"columns":[{"name":"day","type":"date"},'
        '{"name":"clicks","type":"int64"},{"name":"available_at","type":"timestamp"}]}'
    )
    assert stores.client.get(f"features:_contract:{contract}") == text.encode()
    owner = f'{{"store_id":"{stores.store_id}","key_prefix":"features","key_columns":1}}'
    assert stores.client.hgetall("features:_store:owners") == {
        b"group:features_daily": owner.encode()
    }
    assert json.loads(stores.client.get("features:_meta:features_daily") or b"") == {
        "store_id": stores.store_id,
        "snapshot_id": str(snapshot),
        "day": "2024-01-07",
        "rows": 1,
        "contract": contract,
        "pushed_at": "2024-01-08T00:00:00.500000Z",
        "key_prefix": "features",
        "ttl_days": None,
        "run_id": stores.client.info("server")["run_id"],
        "evicted_keys": 0,
    }
    assert stores.client.dbsize() == 4


def test_ids_of_any_text_are_found_again(stores: Stores, group: FeatureGroup) -> None:
    ids = ["a:b", "%41", "a/b c", 'say "hi"', "\\", "\x00\x1f\r\n", "😀", "é" * 5_000, "_meta", "*"]
    stores.publish({"2024-01-01": rows("2024-01-01", **{user: n for n, user in enumerate(ids)})})
    assert stores.go().rows == len(ids)
    for number, user in enumerate(ids):
        row = stores.read(user)
        assert row == {
            "day": "2024-01-01",
            "clicks": number,
            "available_at": "2024-01-02T00:00:00Z",
        }


def test_a_key_may_have_several_parts(stores: Stores, home: Path, group: FeatureGroup) -> None:
    wide = replace(
        group, entity=("user_id", "shop"), columns=(*group.columns, Column("shop", "int64"))
    )
    stores.group = wide
    stores.publish({"2024-01-01": [{**rows("2024-01-01", ann=n)[0], "shop": n} for n in (1, 2)]})
    stores.go()
    assert set(stores.client.keys("features:ann*")) == {b"features:ann:1", b"features:ann:2"}
    assert stores.read("ann", "2") == {
        "day": "2024-01-01",
        "clicks": 2,
        "available_at": "2024-01-02T00:00:00Z",
    }


def test_a_large_push_is_whole(stores: Stores) -> None:
    many = {f"user{n}": n for n in range(30_000)}
    stores.publish({"2024-01-01": rows("2024-01-01", **many)})
    told: list[tuple[int, int]] = []
    assert stores.go(progress=lambda done, total: told.append((done, total))).rows == 30_000
    assert stores.client.dbsize() == 30_003
    assert stores.client.get("features:user29999") is not None
    assert told[-1] == (30_000, 30_000)
    assert told == sorted(told)
    assert len(told) > 2


# What changed, and only that


def test_nothing_new_is_up_to_date_and_writes_only_meta(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go()
    stores.client.set("features:ann", "left alone")
    report = stores.go(now=FAR + timedelta(hours=1))
    assert (report.rows, report.deleted, report.up_to_date, report.full) == (0, 0, True, False)
    assert stores.client.get("features:ann") == b"left alone"
    meta = stores.meta()
    assert meta
    assert (meta.pushed_at, meta.rows) == (FAR + timedelta(hours=1), 1)


def test_a_new_day_is_written_and_others_are_left_alone(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.go()
    stores.client.set("features:bob", "left alone")
    stores.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    report = stores.go()
    assert (report.rows, report.full, report.day) == (1, False, "2024-01-02")
    assert stores.read("ann")["clicks"] == 2
    assert stores.client.get("features:bob") == b"left alone"


def test_missed_nights_are_caught_up(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1, cid=1)})
    stores.go()
    stores.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    stores.publish({"2024-01-03": rows("2024-01-03", bob=3)})
    assert stores.go().rows == 2
    assert stores.clicks() == {
        "features:ann": 2,
        "features:bob": 3,
        "features:cid": 1,
    }


def test_a_healed_older_day_does_not_hide_a_newer_row(stores: Stores) -> None:
    stores.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1, bob=1),
            "2024-01-02": rows("2024-01-02", ann=2),
        }
    )
    stores.go()
    stores.publish({"2024-01-01": rows("2024-01-01", ann=10, bob=10)})
    assert not stores.go().full
    assert stores.clicks() == {"features:ann": 2, "features:bob": 10}


def test_an_entity_that_left_its_newest_day_falls_back_to_an_older_row(stores: Stores) -> None:
    history = {f"2024-01-{n:02}": rows(f"2024-01-{n:02}", ann=n) for n in range(1, 20)}
    stores.publish(history | {"2024-01-02": rows("2024-01-02", ann=2, bob=2)})
    stores.publish({"2024-01-20": rows("2024-01-20", ann=20, bob=20)})
    stores.go()
    stores.publish({"2024-01-20": rows("2024-01-20", ann=20)})
    assert not stores.go().full
    assert stores.clicks() == {"features:ann": 20, "features:bob": 2}


def test_an_entity_with_no_row_left_loses_its_key(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.go()
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    report = stores.go()
    assert (report.rows, report.deleted, report.full) == (1, 1, False)
    assert stores.clicks() == {"features:ann": 1}


def test_a_day_taken_away_takes_its_entities_away(stores: Stores) -> None:
    stores.publish(
        {
            "2024-01-01": rows("2024-01-01", ann=1, bob=1),
            "2024-01-02": rows("2024-01-02", ann=2),
        }
    )
    stores.go()
    stores.publish({"2024-01-01": []})
    assert stores.go().deleted == 1
    assert stores.clicks() == {"features:ann": 2}


def test_a_table_without_rows_leaves_no_keys(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.go()
    stores.publish({"2024-01-01": []})
    report = stores.go(allow_older=True)
    assert (report.rows, report.deleted, report.day) == (0, 1, None)
    assert stores.clicks() == {}


def test_several_files_of_a_day_with_rows_of_different_times(stores: Stores) -> None:
    early, late = datetime(2024, 1, 2, 3), datetime(2024, 1, 2, 9)
    common = {"user_id": "ann", "secret": "", "day": date(2024, 1, 1)}
    stores.publish({"2024-01-01": [{**common, "clicks": 1, "available_at": late}]})
    for count, moment in [(2, early), (3, late + timedelta(hours=1)), (4, early)]:
        new = {**common, "clicks": count, "available_at": moment}
        bob = {**new, "user_id": "bob", "available_at": early - timedelta(hours=count)}
        stores.append(new, bob)
    stores.show()
    stores.go()
    assert stores.clicks() == {"features:ann": 3, "features:bob": 2}


def test_a_row_of_the_newest_day_that_is_not_available_yet_does_not_hide_an_older_one(
    stores: Stores,
) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.publish({"2024-01-02": rows("2024-01-02", ann=2)})
    late = [{**row, "day": date(2024, 1, 2)} for row in rows("2024-01-08", bob=2)]
    stores.append(*late)
    stores.show()
    stores.go(now=at("2024-01-03"))
    assert stores.clicks() == {"features:ann": 2, "features:bob": 1}


@pytest.mark.parametrize("everything", [True, False])
def test_many_who_left_are_looked_for_in_parts(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    monkeypatch.setattr(selection, "PART_ROWS", 3)
    names = [f"user{number}" for number in range(20)]
    many = dict.fromkeys(names, 1)
    stores.publish({"2024-01-01": rows("2024-01-01", **many)})
    stores.publish({"2024-01-02": rows("2024-01-02", **dict.fromkeys(names[:15], 2))})
    stores.go()
    stores.publish({"2024-01-02": rows("2024-01-02", **dict.fromkeys(names[:4], 3))})
    assert stores.go(everything=everything).rows == (20 if everything else 15)
    assert stores.clicks() == {f"features:{name}": 1 for name in names} | {
        f"features:{name}": 3 for name in names[:4]
    }
