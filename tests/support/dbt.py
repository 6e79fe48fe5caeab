"""
Run the real dbt on data of a test's own, in a home of its own.

Each run is a process of its own, forked from one that has dbt imported already: as separate as a
command line, without paying the imports each time. So a run can be killed, and holds no lock after.
"""

from __future__ import annotations

import atexit
import csv
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import ClassVar

import duckdb

from tests.support import oracle

ROOT = Path(__file__).resolve().parents[2]
NOW = "2024-03-31T00:00:00Z"

_PARSED = "partial_parse.msgpack"
# What was parsed last: by this process, or for it, before it began.
PARSED = "DBT_TESTS_PARSED"


def _cache() -> Path:
    given = os.environ.get(PARSED)
    if given:
        return Path(given)
    folder = tempfile.mkdtemp(prefix="feature-store-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / _PARSED


_CACHE = _cache()

# A dbt run that takes longer [s] hangs.
_TIMEOUT = 120

Label = tuple[str, float, str]

_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["tests.support.dbt_child"])


@dataclass(frozen=True, slots=True)
class Run:
    """
    What one dbt command did.

    Attributes:
        code: Its exit code.
        output: Everything it printed.
        statuses: Status of every node that ran, by its name.
    """

    code: int
    output: str
    statuses: Mapping[str, str]

    def assert_done(self) -> Run:
        """Fail with the output unless the command succeeded."""
        assert self.code == 0, self.output
        return self


@dataclass
class Project:
    """
    One feature store: a home, its inputs and its clock.

    The folder holds links to the project's own files. Home and inputs have the same relative names
    in every test, so that dbt can start from what an earlier test has parsed.

    Attributes:
        folder: A folder of the test's own.
        now: The clock, as FEATURE_STORE_NOW has it.
        variables: dbt vars of every run.
        shares_parsing: Whether what is parsed here fits every other test; not where models differ.
    """

    shares_parsing: ClassVar[bool] = True

    folder: Path
    now: str = NOW
    variables: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Link the project into the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("dbt_project", "dbt_project.yml", "profiles.yml", "seeds"):
            link = self.folder / name
            if not link.exists():
                link.symlink_to(ROOT / name)

    @property
    def home(self) -> Path:
        """FEATURE_STORE_HOME."""
        return self.folder / "home"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.home / "warehouse.duckdb"

    @property
    def target(self) -> Path:
        """Where dbt writes its artifacts."""
        return self.folder / "target"

    @property
    def env(self) -> dict[str, str]:
        """The environment of every command on this store."""
        return {
            **os.environ,
            "FEATURE_STORE_HOME": "home",
            "FEATURE_STORE_NOW": self.now,
            "DBT_USE_COLORS": "false",
        }

    def write_events(self, events: Iterable[Sequence[str]], name: str = "events.csv") -> Path:
        """Write the events and make them this store's input; a fourth value is the arrival."""
        rows = list(events)
        header = ("user_id", "event_type", "ts", "ingested_at")
        width = len(rows[0]) if rows else 3
        return self._write("events_path", name, header[:width], rows)

    def write_history(self, events: Iterable[oracle.Event]) -> Path:
        """Write events whose times are times."""
        return self.write_events(
            (*event[:2], *(at.isoformat(sep=" ") for at in event[2:])) for event in events
        )

    def write_labels(self, labels: Iterable[Label], name: str = "labels.csv") -> Path:
        """Write the labels and make them this store's input."""
        return self._write("labels_path", name, ("user_id", "label", "as_of_ts"), labels)

    def _write(
        self, variable: str, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> Path:
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
        self.variables[variable] = name
        return path

    def start(self, *args: str, **variables: object) -> ForkServerProcess:
        """Start a dbt command and return its process."""
        # Imported here: the parent of the fork server must not import dbt.
        from tests.support.dbt_child import run

        process = _FORKSERVER.Process(
            target=run,
            args=(
                [*args, "--vars", json.dumps({**self.variables, **variables})],
                self.env,
                str(self.folder),
                str(self.folder / "output.txt"),
            ),
        )
        process.start()
        return process

    def dbt(self, *args: str, **variables: object) -> Run:
        """Run a dbt command to its end."""
        results = self.target / "run_results.json"
        results.unlink(missing_ok=True)
        parsed = self.target / _PARSED
        if self.shares_parsing and not parsed.exists() and _CACHE.exists():
            self.target.mkdir(exist_ok=True)
            shutil.copy(_CACHE, parsed)
        process = self.start(*args, **variables)
        process.join(_TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join()
        if self.shares_parsing and parsed.exists() and not _CACHE.exists():
            shutil.copy(parsed, _CACHE)
        code = process.exitcode
        assert code is not None
        process.close()
        statuses = {}
        if results.is_file():
            statuses = {
                result["unique_id"].split(".")[2]: result["status"]
                for result in json.loads(results.read_text())["results"]
            }
        return Run(code, (self.folder / "output.txt").read_text(), statuses)

    def build(self, *args: str, **variables: object) -> Run:
        """Run `dbt build` without the unit tests, which a test of their own runs."""
        return self.dbt("build", "--exclude-resource-type", "unit_test", *args, **variables)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Read from the warehouse, as soon as no build holds it."""
        for _ in range(100):
            try:
                connection = duckdb.connect(str(self.warehouse), read_only=True)
            except duckdb.IOException as error:
                if "lock" not in str(error):
                    raise
                time.sleep(0.05)
            else:
                break
        with connection:
            return connection.execute(sql).fetchall()

    def features(self) -> list[tuple[object, ...]]:
        """Read every feature row in order."""
        return self.query("select * from feature_store.features_daily order by day, user_id")

    def training(self) -> list[tuple[object, ...]]:
        """Read every training row in order."""
        return self.query("select * from feature_store.training_data order by all")


def python(*args: str) -> list[str]:
    """Make a command line that runs this interpreter."""
    return [sys.executable, *args]
