"""One small built project for all tests of the commands, copied for each, and a Redis server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog

from materializer.config import Settings
from materializer.offline.catalog import open_catalog
from tests.support.dbt import Project
from tests.support.server import SERVERS, Server
from tests.support.store import LABELS, Store, built_project, copy, history, write_inputs


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project that was built and passed its gate. Only copy it."""
    return built_project(tmp_path_factory)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Give the catalog of an empty offline store in `tmp_path`."""
    return open_catalog(Settings(tmp_path), environ={})


@pytest.fixture(scope="session")
def backfilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """Give a project of which a range of days was built, and what dbt said. Only copy it."""
    project = Project(tmp_path_factory.mktemp("backfilled"))
    write_inputs(project, history(), LABELS[:3])
    run = project.build(start_date="2024-03-10", end_date="2024-03-30")
    assert run.statuses["training_data_is_covered"] == "fail"
    return project, run.output


@pytest.fixture(scope="session")
def finished(
    built: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Server]]:
    """Give a project that was published and pushed, and its own server. Only read them."""
    running = Server(SERVERS["valkey"], tmp_path_factory.mktemp("finished-server"))
    project = copy(built, tmp_path_factory.mktemp("finished") / "store")
    Store(project, running.url).do("run").assert_code(0)
    yield project, running
    running.close()


@pytest.fixture
def published(finished: tuple[Project, Server]) -> Store:
    """Give a store that was published and pushed, with a clock of its own. Only read it."""
    project, running = finished
    return Store(replace(project), running.url)


@pytest.fixture
def store(built: Project, redis_url: str, tmp_path: Path) -> Store:
    """Give a store that was built and passed its gate, and was never published."""
    return Store(copy(built, tmp_path / "store"), redis_url)
