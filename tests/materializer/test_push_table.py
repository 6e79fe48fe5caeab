"""What a push makes of its contract and of the table: other columns, types, files and places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
import redis
from pyiceberg.types import DoubleType

from materializer.errors import (
    ContractMismatch,
    FeatureStoreError,
    OfflineStoreUnavailable,
)
from materializer.get import read_row
from materializer.online import codec
from materializer.online.push import PushReport
from materializer.registry import Column, FeatureGroup
from tests.support.offline import FAR, Offline, rows

Push = Callable[..., PushReport]

# It is the reading that is tested here, so one kind of server is enough.
pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)


def users(client: redis.Redis) -> list[str]:
    """The keys of the group's entities."""
    keys = sorted(key.decode() for key in cast("list[bytes]", client.keys("*")))
    return [key for key in keys if not key.startswith("features:_")]


# Contracts


def test_a_changed_contract_rewrites_every_row(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    offline.publish(
        {"2024-01-01": rows("2024-01-01", ann=1), "2024-01-02": rows("2024-01-02", b=2)}
    )
    go()
    wider = replace(group, columns=tuple(replace(c, online=True) for c in group.columns))
    assert wider.contract.id != group.contract.id
    offline.declare(wider)
    report = go()
    assert (report.full, report.rows) == (True, 2)
    assert read_row(wider, client, ["ann"], FAR) == {
        "day": "2024-01-01",
        "clicks": 1,
        "available_at": "2024-01-02T00:00:00Z",
        "secret": None,
    }
    assert client.exists(codec.contract_key(group.contract.id)) == 1


def test_a_changed_prefix_moves_every_key(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    go()
    offline.declare(replace(group, key_prefix="features:daily"))
    report = go()
    assert (report.rows, report.deleted) == (2, 2)
    assert users(client) == ["features:daily:ann", "features:daily:bob"]


def test_a_changed_time_to_live_rewrites_every_row(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    offline.declare(replace(group, ttl_days=36_500))
    go()
    assert client.ttl("features:ann") > 0
    offline.declare(group)
    assert go().full
    assert client.ttl("features:ann") == -1


def test_a_contract_id_that_is_taken_stops_the_push_before_a_row_is_written(
    offline: Offline, client: redis.Redis, go: Push, group: FeatureGroup
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    client.set(codec.contract_key(group.contract.id), '{"group":"other"}')
    with pytest.raises(FeatureStoreError, match=f"{group.contract.id} already names"):
        go()
    assert users(client) == []


# The table


def test_a_row_without_a_key_is_refused(offline: Offline, go: Push) -> None:
    (row,) = rows("2024-01-01", ann=1)
    offline.publish({"2024-01-01": [row]})
    offline.append({**row, "day": date(2024, 1, 1), "user_id": None})
    offline.show()
    with pytest.raises(FeatureStoreError, match="an entity column is null"):
        go()


def test_a_data_file_that_is_gone_or_broken_is_told_in_one_line(offline: Offline, go: Push) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    (file,) = (offline.settings.home / "iceberg").rglob("data/day=*/*.parquet")
    file.write_bytes(b"broken" * 100)
    with pytest.raises(OfflineStoreUnavailable) as caught:
        go()
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(OfflineStoreUnavailable, match=file.name):
        go()


def test_old_files_that_are_gone_mean_everything(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    (file,) = (offline.settings.home / "iceberg").rglob("data/day=*/*.parquet")
    go()
    offline.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    file.unlink()
    report = go()
    assert (report.full, report.deleted) == (True, 1)
    assert users(client) == ["features:ann"]


def test_a_column_that_was_never_published_is_told(offline: Offline, go: Push) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    wider = replace(offline.group, columns=(*offline.group.columns, Column("new", "int64")))
    offline.declare(wider)
    with pytest.raises(ContractMismatch, match="column new was published as nothing"):
        go()


def test_a_column_of_another_type_is_told(offline: Offline, go: Push) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    columns = tuple(
        replace(c, type="string" if c.name == "clicks" else c.type) for c in offline.group.columns
    )
    offline.declare(replace(offline.group, columns=columns))
    with pytest.raises(ContractMismatch, match="column clicks was published as int64"):
        go()


def test_files_of_older_schemas_are_read_right(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    offline.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    with offline.table.update_schema() as change:
        change.rename_column("clicks", "taps")
        change.rename_column("secret", "clicks")
    columns = {"clicks": "taps", "secret": "clicks"}
    offline.group = replace(
        offline.group,
        columns=tuple(
            replace(c, name=columns.get(c.name, c.name), online=True) for c in offline.group.columns
        ),
    )
    with offline.table.update_schema() as change:
        change.add_column("ratio", DoubleType())
    offline.group = replace(
        offline.group, columns=(*offline.group.columns, Column("ratio", "double"))
    )
    (new,) = rows("2024-01-02", bob=0)
    offline.publish({"2024-01-02": [{**new, "taps": 2, "clicks": "c", "ratio": 0.5}]})
    go()
    assert read_row(offline.group, client, ["ann"], FAR) == {
        "day": "2024-01-01",
        "taps": 1,
        "available_at": "2024-01-02T00:00:00Z",
        "clicks": None,
        "ratio": None,
    }
    assert read_row(offline.group, client, ["bob"], FAR)["ratio"] == 0.5


def test_every_type_gets_there(offline: Offline, client: redis.Redis, go: Push) -> None:
    offline.group = replace(
        offline.group,
        columns=(
            *offline.group.columns,
            Column("price", "decimal(9,2)"),
            Column("flag", "boolean"),
            Column("ratio", "double"),
        ),
    )
    (row,) = rows("2024-01-01", ann=2**63 - 1)
    offline.publish(
        {"2024-01-01": [{**row, "price": Decimal("1.50"), "flag": False, "ratio": 1e-7}]}
    )
    go()
    assert read_row(offline.group, client, ["ann"], FAR) == {
        "day": "2024-01-01",
        "clicks": 2**63 - 1,
        "available_at": "2024-01-02T00:00:00Z",
        "price": "1.50",
        "flag": False,
        "ratio": 1e-7,
    }


def test_a_table_that_lies_elsewhere_is_copied_first(
    offline: Offline, client: redis.Redis, go: Push
) -> None:
    """Its files are named by a scheme that only the catalog's own file access understands."""
    folder = (offline.settings.home / "iceberg" / "elsewhere").as_posix()
    offline.catalog.properties["py-io-impl"] = "tests.support.elsewhere.ElsewhereIO"
    offline.catalog.properties["warehouse"] = f"elsewhere://{folder}"
    offline.publish(
        {"2024-01-01": rows("2024-01-01", ann=1), "2024-01-02": rows("2024-01-02", b=2)}
    )
    assert go().rows == 2
    assert users(client) == ["features:ann", "features:b"]


@pytest.mark.parametrize("name", ["a b", "50%", "a[b]*", 'it\'s "here"', "é😀", "day=2024-01-01"])
def test_the_home_may_have_any_name(
    tmp_path: Path, client: redis.Redis, group: FeatureGroup, name: str
) -> None:
    offline = Offline(tmp_path / name, group)
    offline.publish({"2024-01-07": rows("2024-01-07", ann=1)})
    assert offline.push(client).rows == 1
    assert read_row(group, client, ["ann"], FAR)["day"] == "2024-01-07"
    offline.close()
