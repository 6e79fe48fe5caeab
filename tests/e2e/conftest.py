"""What the whole way is walked on: the sample, and a small history of hand-picked users."""

from collections.abc import Iterator

import pytest

from tests.serve.support import FeatureServer
from tests.support.dbt import Project
from tests.support.server import SERVERS, Server
from tests.support.store import Store, built_project


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the sample of seeds/, built by the command that a person types. Only copy it."""
    project = Project(tmp_path_factory.mktemp("sample"))
    Store(project, None).shell("dbt build").assert_code(0)
    return project


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the small history, built. Only copy it."""
    return built_project(tmp_path_factory)


@pytest.fixture(scope="module", params=sorted(SERVERS))
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Give one server of each kind on this machine, for all tests of a module."""
    running = Server(SERVERS[request.param], tmp_path_factory.mktemp("server"))
    yield running
    running.close()


def serve(store: Store) -> FeatureServer:
    """Start the real HTTP server on a store."""
    return FeatureServer(store.home, store.redis_url, now=store.project.now)
