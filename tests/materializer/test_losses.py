"""Rows that went missing online after a push: noticed by push and status, and written again."""

from typing import cast

import redis

from tests.support.offline import Stores, rows
from tests.support.server import Server, evict
from tests.support.store import Store

MANY = 2_000


def fill(stores: Stores) -> dict[str, int]:
    stores.publish({"2024-01-01": rows("2024-01-01", **{f"u{n}": 1 for n in range(MANY)})})
    stores.publish({"2024-01-02": rows("2024-01-02", u0=2)})
    stores.go()
    return stores.clicks()


def delete(client: redis.Redis, share: float) -> int:
    found = cast("list[bytes]", client.keys("features:u*"))
    return int(client.delete(*found[: int(share * len(found))]))


def test_deleted_rows_are_noticed_and_written_again(stores: Stores, client: redis.Redis) -> None:
    before = fill(stores)
    # Of 1,000 in 2,000 keys, one of 200 missing is not sampled once in 2 ** 200.
    delete(client, 0.1)
    report = stores.go()

    assert report.full
    assert "sampled keys are missing" in str(report)
    assert stores.clicks() == before
    assert stores.go().up_to_date


def test_evicted_rows_are_noticed_and_written_again(stores: Stores, client: redis.Redis) -> None:
    before = fill(stores)
    evict(client)
    # One row stands for those that might have been evicted.
    client.delete("features:u7")

    report = stores.go()

    assert "the server evicted" in str(report)
    assert stores.clicks() == before
    assert stores.go().up_to_date


def test_a_restarted_server_that_kept_its_rows_is_trusted(stores: Stores, server: Server) -> None:
    fill(stores)
    server.kill()
    server.start()

    assert stores.go().up_to_date


def test_status_says_that_rows_were_lost_and_a_push_that_they_may_be(
    store: Store, redis_url: str
) -> None:
    store.do("run").assert_code(0)
    store.do("status", "--max-age", "26h").assert_code(0)
    client = redis.Redis.from_url(redis_url)
    found = [key for key in client.scan_iter("features:*") if not key.startswith(b"features:_")]
    client.delete(*found[: len(found) // 2])
    client.config_set("maxmemory", 2**30)
    client.config_set("maxmemory-policy", "allkeys-lru")

    done = store.do("status", "--max-age", "26h").assert_code(1)
    pushed = store.do("push").assert_code(0)

    assert "pushed     rows were lost: " in done.out
    assert "run: materializer push" in done.out
    assert "its maxmemory-policy is allkeys-lru; set noeviction" in pushed.err
    client.config_set("maxmemory", 0)
    client.close()
    store.do("status", "--max-age", "26h").assert_code(0)
