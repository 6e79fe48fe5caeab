"""
The materializer on a store of a test's own, and what its two stores then hold.

Commands run in this process where only their answer counts, and as a process of their own where
exit codes, signals or the terminal do.
"""

import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import duckdb
import pytest
import redis
import yaml
from pyiceberg.catalog import Catalog

from materializer import cli
from materializer.config import Settings, parse_time
from materializer.offline.catalog import (
    described_snapshot,
    find_table,
    spans_name,
    table_name,
)
from materializer.online import codec
from materializer.online.connection import connect
from materializer.registry import Contract
from tests.support import oracle
from tests.support.dbt import ROOT, Project, python
from tests.support.offline import catalog_at

GROUP = "features_daily"
MODEL = "model.feature_store.features_daily"
TRAINING = "model.feature_store.training_data"

FIRST = date(2024, 2, 15)
LAST = date(2024, 3, 30)
ALL_DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
USERS = [f"user{n}" for n in range(8)]
LABELS: list[oracle.Label] = [
    # The user has an event later on the same day, so a label that sees its own day leaks.
    ("user1", 1.0, datetime(2024, 3, 20, 12)),
    ("user2", 0.0, datetime(2024, 3, 5, 9, 30)),
    ("user2", 0.0, datetime(2024, 3, 5, 9, 30)),
    ("nobody", 1.0, datetime(2024, 3, 29, 12)),
]

# What a printed command of dbt ends in, on a store that was built from `write_inputs`.
GIVEN = """--vars '{events_path: "events.csv", labels_path: "labels.csv"}'"""


def build_days(first: object, last: object) -> str:
    """Write the printed command that builds a range of days."""
    return f"dbt build {GIVEN}".replace("{", f"{{start_date: {first}, end_date: {last}, ", 1)


def history() -> list[oracle.Event]:
    """Make the same events every time: eight users, each seen on the first and on the last day."""
    draw = random.Random(5)
    seconds = len(ALL_DAYS) * 86_400
    start = datetime(2024, 2, 15)
    events = [
        (draw.choice(USERS), draw.choice("xyz"), start + timedelta(seconds=draw.randrange(seconds)))
        for _ in range(120)
    ]
    ends = [
        (user, "x", datetime(day.year, day.month, day.day, 8))
        for user in USERS
        for day in (FIRST, LAST)
    ]
    return [*events, *ends, ("user1", "y", datetime(2024, 3, 20, 18))]


def write_inputs(
    project: Project, events: Sequence[oracle.Event], labels: Sequence[oracle.Label] = LABELS
) -> None:
    """Write both inputs of a project."""
    project.write_history(events)
    project.write_labels([(user, label, at.isoformat(sep=" ")) for user, label, at in labels])


_BUILT: list[Project] = []


def built_project(folders: pytest.TempPathFactory) -> Project:
    """Give the small project, built and past its gate; built once a session. Only copy it."""
    if not _BUILT:
        project = Project(folders.mktemp("built"))
        write_inputs(project, history())
        project.build().assert_done()
        _BUILT.append(project)
    return _BUILT[0]


def keep_inputs(project: Project) -> None:
    """Write the inputs into the project's own dbt_project.yml, for commands without --vars."""
    path = project.folder / "dbt_project.yml"
    settings = yaml.safe_load(path.read_text())
    settings["vars"] = {**settings["vars"], **project.variables}
    path.unlink()
    path.write_text(yaml.safe_dump(settings))


def own_models(project: Project) -> Path:
    """Give a project its own copy of the models, macros and tests, to change; tells the folder."""
    folder = project.folder / "dbt_project"
    folder.unlink()
    shutil.copytree(ROOT / "dbt_project", folder)
    return folder


def copy(project: Project, folder: Path) -> Project:
    """Copy a project that was built and never published: Iceberg keeps whole paths."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return replace(project, folder=folder, variables=dict(project.variables))


@dataclass(frozen=True, slots=True)
class Done:
    """
    What one command of the materializer did.

    Attributes:
        code: Its exit code.
        out: What it printed to standard output.
        err: What it printed to standard error.
    """

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that it printed, alone on its line."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    def assert_code(self, code: int) -> Self:
        """Fail with the output unless the command ended with this exit code."""
        assert self.code == code, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


def run_here(command: Sequence[str], env: Mapping[str, str]) -> Done:
    """Run a command of the materializer in this process, in an environment of its own."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in os.environ.keys() - env.keys():
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            code = cli.main(command)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Done(code, out.getvalue(), err.getvalue())


class Store:
    """
    One feature store: a dbt project and the materializer on it.

    Args:
        project: The project; its home is the store's.
        redis_url: The online store, None for the embedded one.
    """

    def __init__(self, project: Project, redis_url: str | None) -> None:
        self.project = project
        self.redis_url = redis_url

    @property
    def home(self) -> Path:
        """FEATURE_STORE_HOME, absolute."""
        return self.project.home

    @property
    def settings(self) -> Settings:
        """What the store's commands and servers work with."""
        return Settings(self.home, parse_time(self.project.now), self.redis_url)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every command on this store, and of no other."""
        kept = {
            name: value
            for name, value in self.project.env.items()
            if not name.startswith(("PYICEBERG_", "REDIS_URL", "DBT_TARGET_PATH"))
        }
        wanted = {"FEATURE_STORE_HOME": str(self.home), "REDIS_URL": self.redis_url}
        return {**kept, **{name: value for name, value in wanted.items() if value}}

    def do(self, command: str, *args: str) -> Done:
        """Run a command of the materializer in this process."""
        return run_here([command, *args, "--project-dir", str(self.project.folder)], self.env)

    def start(self, *args: str, **options: Any) -> subprocess.Popen[str]:
        """Start `materializer` as a process of its own, in the project's folder."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            python("-m", "materializer", *args),
            cwd=self.project.folder,
            text=True,
            stdin=subprocess.DEVNULL,
            **{"env": self.env, **pipes, **options},
        )

    def command(self, *args: str, timeout: float = 60, **env: str) -> Done:
        """Run `materializer` as a process of its own, to its end."""
        return finish(self.start(*args, env={**self.env, **env}), timeout)

    def shell(self, command: str, timeout: float = 120) -> Done:
        """Run a command as it was told to a person, in the project's folder; no unit tests."""
        env = {
            **self.env,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
        }
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.project.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def manifest(self) -> Iterator[Any]:
        """Give the manifest to change, as `dbt parse` does after a change of the YAML."""
        path = self.project.target / "manifest.json"
        body = json.loads(path.read_text())
        yield body
        path.write_text(json.dumps(body))

    def declare(self, model: str, kind: str, **meta: object) -> None:
        """Change what a model declares, by its id, in the manifest."""
        with self.manifest() as body:
            body["nodes"][model]["config"]["meta"][kind].update(meta)

    def receipt(self, name: str = "training_data") -> Path:
        """The newest receipt of a training set."""
        return self.home / "training" / f"{name}.receipt.json"

    def kept_receipts(self) -> list[Path]:
        """List every receipt, in the order of their builds."""
        found = (self.home / "training" / "receipts").iterdir()
        return sorted(found, key=lambda path: int(path.name.split("-")[1]))

    def catalog(self) -> AbstractContextManager[Catalog]:
        """Open the offline store."""
        return catalog_at(self.home)

    def offline(self, name: str = GROUP) -> list[tuple[Any, ...]]:
        """Read every row that readers of the offline store see, ordered by day and user."""
        with self.catalog() as catalog:
            table = find_table(catalog, table_name(name))
            snapshot = described_snapshot(find_table(catalog, spans_name(name)))
            if table is None or snapshot is None:
                return []
            rows = table.scan(snapshot_id=snapshot).to_arrow().to_pylist()
        return sorted((tuple(row.values()) for row in rows), key=lambda row: (row[1], row[0]))

    def table(self, name: str) -> list[tuple[Any, ...]]:
        """Read a table of the offline store that is no group, in any order."""
        with self.catalog() as catalog:
            table = find_table(catalog, table_name(name))
            rows = [] if table is None else table.scan().to_arrow().to_pylist()
        return [tuple(row.values()) for row in rows]

    def online(self) -> dict[str, tuple[object, ...]]:
        """Read every row of the online store: user -> the columns of the contract."""
        with connect(self.settings) as client:
            return read_online(client)

    def replace_warehouse(self, project: Project) -> None:
        """Put the warehouse of another build of its project in place."""
        # A build may leave its last changes in a log next to the file.
        for old in self.home.glob("warehouse.duckdb*"):
            old.unlink()
        for new in project.home.glob("warehouse.duckdb*"):
            shutil.copy(new, self.home)

    def query(self, sql: str) -> None:
        """Change the warehouse behind dbt's back."""
        with duckdb.connect(str(self.project.warehouse)) as connection:
            connection.execute(sql)


def finish(process: subprocess.Popen[str], timeout: float = 60) -> Done:
    """Wait for a process and tell what it did."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {timeout} s\n{out}\n{err}") from None
    return Done(process.returncode, out, err)


def start_to_point(*args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start Python on what prints `here` where it then waits, and wait for that."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(python(*args), cwd=ROOT, env=env, text=True, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    """End a process as a power cut would, and close its pipes."""
    process.kill()
    process.communicate()


def read_online(client: redis.Redis) -> dict[str, tuple[object, ...]]:
    """Read every row of the group, without the materializer's own lookup."""
    rows: dict[str, tuple[object, ...]] = {}
    contracts: dict[str, Contract] = {}
    for key in client.scan_iter(match="features:*", count=1000):
        parts = key.decode().split(":")
        if len(parts) != 2:
            continue
        raw = client.get(key)
        assert isinstance(raw, bytes)
        contract, *values = json.loads(raw)
        if contract not in contracts:
            text = client.get(codec.contract_key(contract))
            assert isinstance(text, bytes)
            contracts[contract] = Contract.from_text(text.decode())
        assert len(contracts[contract].columns) == len(values)
        rows[unquote(parts[1])] = tuple(values)
    return rows


def snapshot_id(store: Store, name: str) -> str:
    """Tell the current snapshot of a table of the offline store."""
    with store.catalog() as catalog:
        snapshot = catalog.load_table(table_name(name)).current_snapshot()
    assert snapshot is not None
    return str(snapshot.snapshot_id)


def newest(rows: Sequence[Sequence[Any]]) -> dict[str, tuple[object, ...]]:
    """Tell what should be online: of each user's feature rows the newest, in its JSON form."""
    found: dict[str, Sequence[Any]] = {}
    for row in rows:
        if row[0] not in found or found[row[0]][1] < row[1]:
            found[row[0]] = row
    return {
        user: (row[1].isoformat(), *row[2:6], f"{row[6].isoformat()}Z")
        for user, row in found.items()
    }


def expected(
    events: Sequence[oracle.Event] | None = None, days: Sequence[date] = ALL_DAYS
) -> list[tuple[Any, ...]]:
    """Compute the features from the events, in plain Python."""
    return list(oracle.features(history() if events is None else events, days))


@contextmanager
def held_warehouse(store: Store) -> Iterator[int]:
    """Hold the warehouse's lock, as a build does, from another process; gives its id."""
    script = (
        "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); "
        "print('here', flush=True); sys.stdin.read()"
    )
    holder = start_to_point("-c", script, str(store.project.warehouse))
    try:
        yield holder.pid
    finally:
        holder.communicate()


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)
