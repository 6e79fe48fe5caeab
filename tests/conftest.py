"""
What the tests share: real servers, a real offline store, and temporary homes.

Every test that asks for `server` runs once per kind of server found on this machine.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from materializer.config import Settings
from materializer.online import embedded
from materializer.registry import Column, FeatureGroup
from tests.support.dbt import ROOT
from tests.support.group import GROUP
from tests.support.offline import Stores
from tests.support.server import SERVERS, Server

# The files that take longest, first: or a worker would be alone with one in the end.
LONGEST = (
    "tests/dbt/test_laws.py",
    "tests/test_readme.py",
    "tests/e2e/test_pipelines.py",
    "tests/e2e/test_recommendation.py",
    "tests/test_mutants.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, and the others in their order."""
    rank = {ROOT / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give one server for many tests; each, or each module, empties it."""
    running = Server(SERVERS["valkey"], tmp_path_factory.mktemp("valkey"))
    yield running
    running.close()


@pytest.fixture
def redis_url(valkey: Server) -> str:
    """Tell the address of an empty server."""
    valkey.client().flushall()
    return valkey.url


@pytest.fixture(scope="module")
def module_url(valkey: Server) -> str:
    """Tell the address of that server, empty, for what all tests of a module read."""
    valkey.client().flushall()
    return valkey.url


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    running = Server(SERVERS[request.param], tmp_path / "server")
    yield running
    running.close()


@pytest.fixture
def client(server: Server) -> redis.Redis:
    return server.client()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Give a folder for a store; an embedded server that was started in it is stopped."""
    folder = tmp_path / "home"
    yield folder
    embedded.stop(Settings(home=folder))


@pytest.fixture
def group() -> FeatureGroup:
    """Give a small group: one feature, and one column that stays offline."""
    return replace(
        GROUP,
        columns=(
            Column("user_id", "string"),
            Column("day", "date"),
            Column("clicks", "int64"),
            Column("available_at", "timestamp"),
            Column("secret", "string", online=False),
        ),
    )


@pytest.fixture
def stores(home: Path, group: FeatureGroup, client: redis.Redis) -> Iterator[Stores]:
    store = Stores(home, group, client)
    yield store
    store.close()
