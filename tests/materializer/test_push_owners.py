"""Keys of the online store have one owner, which is replaced only when told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from materializer.errors import PushRefused, RowOfAnother
from materializer.get import read_row
from materializer.offline.snapshot import open_snapshot
from materializer.online import codec
from materializer.online.owners import Owner, claim, read_owners
from materializer.online.push import withdraw_group
from materializer.registry import FeatureGroup
from tests.support.offline import FAR, Offline, rows

DAY = "2024-01-01"


@pytest.fixture
def theirs(tmp_path: Path, group: FeatureGroup) -> Iterator[Offline]:
    """Give another project's store, whose group has another name and the same keys."""
    store = Offline(tmp_path / "theirs", replace(group, name="visits"))
    yield store
    store.close()


def clicks(client: redis.Redis) -> dict[str, Any]:
    """Key -> clicks of every entity online."""
    keys = [key for key in cast("list[bytes]", client.keys("*")) if b":_" not in key]
    return {key.decode(): json.loads(client.get(key) or b"")[2] for key in keys}


def _push(store: Offline, client: redis.Redis, **users: int) -> None:
    store.publish({DAY: rows(DAY, **users)})
    store.push(client)


def test_a_prefix_of_another_store_is_taken_over_only_when_told(
    stores: Offline, theirs: Offline, client: redis.Redis, group: FeatureGroup
) -> None:
    _push(theirs, client, ann=1, zoe=1)
    stores.publish({DAY: rows(DAY, ann=2, bob=2)})

    with pytest.raises(PushRefused) as caught:
        stores.push(client, everything=True, allow_older=True)

    assert str(caught.value).startswith("features_daily: not pushed: ")
    assert str(caught.value).endswith(
        f" holds group visits of another store ({theirs.store_id}), whose keys begin with "
        "features; to replace it: --take-over"
    )
    assert clicks(client) == {"features:ann": 1, "features:zoe": 1}
    # Nothing of the refused claim is left.
    assert list(read_owners(client)) == ["group:visits"]
    report = stores.push(client, take_over=True)
    assert (report.rows, report.deleted, report.full) == (2, 1, True)
    assert clicks(client) == {"features:ann": 2, "features:bob": 2}
    assert list(read_owners(client)) == ["group:features_daily"]
    assert client.get(codec.meta_key("visits")) is None
    with pytest.raises(PushRefused, match="group features_daily of another store"):
        theirs.push(client)


def test_a_group_that_was_renamed_asks_before_it_takes_the_keys(
    stores: Offline, client: redis.Redis, group: FeatureGroup
) -> None:
    _push(stores, client, ann=1)
    stores.group = replace(group, name="renamed")
    stores.publish({DAY: rows(DAY, bob=1)})

    with pytest.raises(PushRefused, match="holds group features_daily of this store, whose keys"):
        stores.push(client)
    stores.push(client, take_over=True)

    assert clicks(client) == {"features:bob": 1}


def test_the_same_group_of_another_store_is_another_also_under_other_keys(
    stores: Offline, client: redis.Redis, tmp_path: Path, group: FeatureGroup
) -> None:
    _push(stores, client, ann=1)
    other = Offline(tmp_path / "other", replace(group, key_prefix="other"))
    with pytest.raises(PushRefused, match=r"holds group features_daily of another store \("):
        _push(other, client, ann=2)
    other.close()


def test_an_owner_loses_its_keys_when_it_leaves_them(
    stores: Offline, theirs: Offline, client: redis.Redis, group: FeatureGroup
) -> None:
    _push(stores, client, ann=1)
    stores.declare(replace(group, key_prefix="moved"))
    stores.push(client)
    _push(theirs, client, ann=2)
    assert clicks(client) == {"features:ann": 2, "moved:ann": 1}

    theirs.declare(replace(theirs.group, online=False))
    snapshot = open_snapshot(theirs.catalog, "visits")
    assert withdraw_group(snapshot, client, now=FAR) == 1
    assert list(read_owners(client)) == ["group:features_daily"]


def test_rows_left_by_a_take_over_that_was_killed_go_with_the_next_push(
    stores: Offline, theirs: Offline, client: redis.Redis
) -> None:
    _push(theirs, client, zoe=1)
    stores.publish({DAY: rows(DAY, ann=2)})
    new = Owner(store_id=stores.store_id, key_prefix="features", key_columns=1)
    claim(client, "group", "features_daily", new, take_over=True)

    stores.push(client)

    assert clicks(client) == {"features:ann": 2}


def test_a_row_of_another_group_is_no_answer(
    stores: Offline, theirs: Offline, client: redis.Redis, group: FeatureGroup
) -> None:
    _push(stores, client, ann=1)
    theirs.group = replace(theirs.group, key_prefix="visits")
    _push(theirs, client, ann=2)
    client.set("features:ann", client.get("visits:ann") or b"")

    with pytest.raises(RowOfAnother, match="a row of group visits of store"):
        read_row(group, client, ["ann"], now=FAR)


@pytest.mark.parametrize(
    ("ours", "theirs", "shared"),
    [
        (("features", 1), ("features", 1), True),
        (("features", 1), ("features", 2), False),
        (("features", 2), ("features:a", 1), True),
        (("features:a", 1), ("features", 2), True),
        (("features", 2), ("feature", 2), False),
        (("features", 1), ("features:a", 1), False),
        (("a:b", 1), ("a:c", 1), False),
    ],
)
def test_owners_share_keys_when_both_could_make_the_same(
    ours: tuple[str, int], theirs: tuple[str, int], shared: bool
) -> None:
    owners = [Owner(store_id="s", key_prefix=p, key_columns=n) for p, n in (ours, theirs)]
    assert owners[0].may_share_keys(owners[1]) is shared


def test_of_two_that_claim_the_same_keys_at_once_one_at_most_gets_them(client: redis.Redis) -> None:
    for _ in range(20):
        client.flushall()
        got: list[str] = []

        def run(store: str, got: list[str] = got) -> None:
            owner = Owner(store_id=store, key_prefix="p", key_columns=1)
            try:
                claim(client, "group", store, owner, take_over=False)
            except PushRefused:
                return
            got.append(store)

        threads = [threading.Thread(target=run, args=(store,)) for store in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) < 2
        assert list(read_owners(client)) == [f"group:{store}" for store in got]
