"""One small built project for all tests of the commands, copied for each, and a Redis server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dbt import Project
from tests.support.server import SERVERS, Server
from tests.support.store import Store, copy, history, write_inputs


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project that was built and passed its gate. Only copy it."""
    project = Project(tmp_path_factory.mktemp("built"))
    write_inputs(project, history())
    project.build().assert_done()
    return project


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give one server for many tests; each empties it."""
    running = Server(SERVERS["valkey"], tmp_path_factory.mktemp("valkey"))
    yield running
    running.close()


@pytest.fixture
def redis_url(valkey: Server) -> str:
    """Tell the address of an empty server."""
    valkey.client().flushall()
    return valkey.url


@pytest.fixture
def store(built: Project, redis_url: str, tmp_path: Path) -> Store:
    """Give a store that was built and passed its gate, and was never published."""
    return Store(copy(built, tmp_path / "store"), redis_url)
