"""What a push makes of its contract and of the table: other columns, types, files and places."""

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
from materializer.online import codec
from materializer.registry import Column, FeatureGroup
from tests.support.offline import Stores, rows

# It is the reading that is tested here, so one kind of server is enough.
pytestmark = pytest.mark.parametrize("server", ["valkey"], indirect=True)


def users(client: redis.Redis) -> list[str]:
    """The keys of the group's entities."""
    keys = sorted(key.decode() for key in cast("list[bytes]", client.keys("*")))
    return [key for key in keys if not key.startswith("features:_")]


# Contracts


def test_a_changed_contract_rewrites_every_row(stores: Stores, group: FeatureGroup) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1), "2024-01-02": rows("2024-01-02", b=2)})
    stores.go()
    narrow = stores.published.contract.id
    wider = replace(group, columns=tuple(replace(c, online=True) for c in group.columns))
    stores.declare(wider)
    assert stores.published.contract.id != narrow
    report = stores.go()
    assert (report.full, report.rows) == (True, 2)
    assert stores.read("ann") == {
        "day": "2024-01-01",
        "clicks": 1,
        "available_at": "2024-01-02T00:00:00Z",
        "secret": None,
    }
    assert stores.client.exists(codec.contract_key(narrow)) == 1


def test_a_changed_prefix_moves_every_key(stores: Stores, group: FeatureGroup) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    stores.go()
    stores.declare(replace(group, key_prefix="features:daily"))
    report = stores.go()
    assert (report.rows, report.deleted) == (2, 2)
    assert users(stores.client) == ["features:daily:ann", "features:daily:bob"]


def test_a_changed_time_to_live_rewrites_every_row(stores: Stores, group: FeatureGroup) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    stores.declare(replace(group, ttl_days=36_500))
    stores.go()
    assert stores.client.ttl("features:ann") > 0
    stores.declare(group)
    assert stores.go().full
    assert stores.client.ttl("features:ann") == -1


def test_a_contract_id_that_is_taken_stops_the_push_before_a_row_is_written(
    stores: Stores,
) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    contract = stores.published.contract.id
    stores.client.set(codec.contract_key(contract), '{"group":"other"}')
    with pytest.raises(FeatureStoreError, match=f"{contract} already names"):
        stores.go()
    assert users(stores.client) == []


# The table


def test_a_row_without_a_key_is_refused(stores: Stores) -> None:
    (row,) = rows("2024-01-01", ann=1)
    stores.publish({"2024-01-01": [row]})
    stores.append({**row, "day": date(2024, 1, 1), "user_id": None})
    stores.show()
    with pytest.raises(FeatureStoreError, match="an entity column is null"):
        stores.go()


def test_a_data_file_that_is_gone_or_broken_is_told_in_one_line(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    (file,) = (stores.settings.home / "iceberg").rglob("data/day=*/*.parquet")
    file.write_bytes(b"broken" * 100)
    with pytest.raises(OfflineStoreUnavailable) as caught:
        stores.go()
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(OfflineStoreUnavailable, match=file.name):
        stores.go()


def test_old_files_that_are_gone_mean_everything(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1, bob=1)})
    (file,) = (stores.settings.home / "iceberg").rglob("data/day=*/*.parquet")
    stores.go()
    stores.publish({"2024-01-01": rows("2024-01-01", ann=2)})
    file.unlink()
    report = stores.go()
    assert (report.full, report.deleted) == (True, 1)
    assert users(stores.client) == ["features:ann"]


def test_a_column_that_was_never_published_is_told(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    wider = replace(stores.group, columns=(*stores.group.columns, Column("new", "int64")))
    stores.declare(wider)
    with pytest.raises(ContractMismatch, match="column new was published as nothing"):
        stores.go()


def test_a_column_of_another_type_is_told(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    columns = tuple(
        replace(c, type="string" if c.name == "clicks" else c.type) for c in stores.group.columns
    )
    stores.declare(replace(stores.group, columns=columns))
    with pytest.raises(ContractMismatch, match="column clicks was published as int64"):
        stores.go()


def test_files_of_older_schemas_are_read_right(stores: Stores) -> None:
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1)})
    with stores.table.update_schema() as change:
        change.rename_column("clicks", "taps")
        change.rename_column("secret", "clicks")
    columns = {"clicks": "taps", "secret": "clicks"}
    stores.group = replace(
        stores.group,
        columns=tuple(
            replace(c, name=columns.get(c.name, c.name), online=True) for c in stores.group.columns
        ),
    )
    with stores.table.update_schema() as change:
        change.add_column("ratio", DoubleType())
    stores.group = replace(stores.group, columns=(*stores.group.columns, Column("ratio", "double")))
    (new,) = rows("2024-01-02", bob=0)
    stores.publish({"2024-01-02": [{**new, "taps": 2, "clicks": "c", "ratio": 0.5}]})
    stores.go()
    assert stores.read("ann") == {
        "day": "2024-01-01",
        "taps": 1,
        "available_at": "2024-01-02T00:00:00Z",
        "clicks": None,
        "ratio": None,
    }
    assert stores.read("bob")["ratio"] == 0.5


def test_every_type_gets_there(stores: Stores) -> None:
    stores.group = replace(
        stores.group,
        columns=(
            *stores.group.columns,
            Column("price", "decimal(9,2)"),
            Column("flag", "boolean"),
            Column("ratio", "double"),
        ),
    )
    (row,) = rows("2024-01-01", ann=2**63 - 1)
    stores.publish(
        {"2024-01-01": [{**row, "price": Decimal("1.50"), "flag": False, "ratio": 1e-7}]}
    )
    stores.go()
    assert stores.read("ann") == {
        "day": "2024-01-01",
        "clicks": 2**63 - 1,
        "available_at": "2024-01-02T00:00:00Z",
        "price": "1.50",
        "flag": False,
        "ratio": 1e-7,
    }


def test_a_table_that_lies_elsewhere_is_copied_first(stores: Stores) -> None:
    """Its files are named by a scheme that only the catalog's own file access understands."""
    folder = (stores.settings.home / "iceberg" / "elsewhere").as_posix()
    stores.catalog.properties["py-io-impl"] = "tests.support.elsewhere.ElsewhereIO"
    stores.catalog.properties["warehouse"] = f"elsewhere://{folder}"
    stores.publish({"2024-01-01": rows("2024-01-01", ann=1), "2024-01-02": rows("2024-01-02", b=2)})
    assert stores.go().rows == 2
    assert users(stores.client) == ["features:ann", "features:b"]


@pytest.mark.parametrize("name", ["a b", "50%", "a[b]*", 'it\'s "here"', "é😀", "day=2024-01-01"])
def test_the_home_may_have_any_name(
    tmp_path: Path, client: redis.Redis, group: FeatureGroup, name: str
) -> None:
    stores = Stores(tmp_path / name, group, client)
    stores.publish({"2024-01-07": rows("2024-01-07", ann=1)})
    assert stores.go().rows == 1
    assert stores.read("ann")["day"] == "2024-01-07"
    stores.close()
