"""Replies of a catalog that are lost: a commit that landed is kept, and one that did not is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import CommitTableResponse

from materializer.errors import OfflineStoreUnavailable
from materializer.offline.catalog import table_name
from materializer.offline.commits import look_before_failing
from materializer.offline.publish import last_published
from materializer.offline.write import tag_snapshots
from tests.materializer.offline_fixtures import (
    GROUP,
    NEW,
    OLD,
    expected_rows,
    publish,
    published_rows,
    store,
)
from tests.support.rest_catalog import RestCatalogServer

AFTER = {**OLD, **NEW}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestCatalogServer]:
    running = RestCatalogServer(tmp_path / "rest")
    yield running
    running.close()


@pytest.fixture
def rest(server: RestCatalogServer) -> Catalog:
    """Open the REST catalog as `open_catalog` does, with what is published before the fault."""
    catalog = look_before_failing(load_catalog("rest", type="rest", uri=server.url))
    publish(catalog, OLD)
    return catalog


@pytest.mark.parametrize("fault", ["repeated", "lost"])
def test_a_commit_that_landed_is_published_whatever_the_reply_was(
    server: RestCatalogServer, rest: Catalog, fault: str
) -> None:
    # The group, its spans, and so on.
    setattr(server, fault, 9)

    try:
        publish(rest, NEW, sequence=2)
    except OfflineStoreUnavailable as error:
        raise AssertionError("the commit landed") from error

    assert published_rows(rest) == expected_rows(AFTER)
    last = last_published(rest, GROUP.name)
    assert last is not None
    assert (last.ledger_sequence, last.visible) == (2, True)


def test_a_commit_that_did_not_land_changes_nothing_and_the_next_publish_makes_it(
    server: RestCatalogServer, rest: Catalog
) -> None:
    server.refused = 1

    with pytest.raises(OfflineStoreUnavailable, match=r"features_daily.*run the command again"):
        publish(rest, NEW, sequence=2)

    assert published_rows(rest) == expected_rows(OLD)
    publish(rest, NEW, sequence=2)
    assert published_rows(rest) == expected_rows(AFTER)


def test_tags_and_expiry_survive_a_lost_reply(server: RestCatalogServer, rest: Catalog) -> None:
    snapshot = rest.load_table(table_name(GROUP.name)).current_snapshot()
    assert snapshot is not None
    server.repeated = server.lost = 1
    tag_snapshots(rest, "kept", {GROUP.name: snapshot.snapshot_id})
    for number in range(3):
        # The third commit of a publish expires old spans.
        server.lost = 3
        publish(rest, NEW if number % 2 else OLD, AFTER, sequence=2 + number)
    table = rest.load_table(table_name(GROUP.name))
    assert table.refs()["kept"].snapshot_id == snapshot.snapshot_id
    assert published_rows(rest) == expected_rows(OLD)


def test_a_conflict_after_a_commit_to_the_local_catalog_loses_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = SqlCatalog.commit_table

    def lose(catalog: SqlCatalog, *commit: Any) -> CommitTableResponse:
        send(catalog, *commit)
        raise CommitFailedException("updated by another process")

    publish(store(tmp_path), OLD)
    monkeypatch.setattr(SqlCatalog, "commit_table", lose)

    publish(store(tmp_path), NEW, sequence=2)

    assert published_rows(store(tmp_path)) == expected_rows(AFTER)
