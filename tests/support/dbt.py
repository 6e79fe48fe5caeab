"""
Run the real dbt on data of a test's own, in a home of its own.

Each run is a process of its own, forked from one that has dbt imported and warm already (see
`dbt_server`): as separate as a command line, in a tenth of the time. So a run can be killed, and
holds no lock afterwards.
"""

import csv
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

import duckdb

from tests.support import oracle
from tests.support.fork_server import ROOT as ROOT
from tests.support.fork_server import ForkedProcess, start_server, temporary_folder

NOW = "2024-03-31T00:00:00Z"

# The address of the server, for tests that run in a process of their own.
SERVER = "TESTS_DBT_SERVER"

# A folder for PATH: its `dbt` runs by that server.
DBT_FOLDER = ROOT / "tests" / "support" / "bin"

# What a project is made of, by the names under its root.
PROJECT_FILES = ("dbt_project", "dbt_project.yml", "profiles.yml", "seeds")

# Vars that only a run reads: dbt parses the same without them, as tests/dbt/test_parsing.py shows.
RUN_VARS = (
    "availability_lag_hours",
    "backfill_chunk_days",
    "end_date",
    "gate_sample_share",
    "healing_horizon_days",
    "start_date",
)

# A dbt run that takes longer [s] hangs.
_TIMEOUT = 240

Label = tuple[str, float, str]


@dataclass(frozen=True, slots=True)
class Request:
    """
    A dbt command, as the server is given it.

    Attributes:
        args: Its arguments, without the vars.
        variables: Its vars.
        env: Its whole environment.
        folder: Its working directory.
        output: The file that it prints to.
        root: The project that it works on, or that its own files were copied from; None if neither.
        parses: Whether dbt parses, and does not take what it has parsed of `root`.
        parse_variables: Those of the vars that the result of parsing depends on.
    """

    args: Sequence[str]
    variables: Mapping[str, object]
    env: Mapping[str, str]
    folder: str
    output: str
    root: str | None
    parses: bool
    parse_variables: Mapping[str, object]


@cache
def server_address() -> str:
    """Return the address of the server of dbt commands; one for each process of tests."""
    return os.environ.get(SERVER) or start_server("tests.support.dbt_server")


_parsing_folder = cache(lambda: temporary_folder("dbt-parsed-"))


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

    def assert_failed(self, said: str) -> None:
        """Fail with the output unless the command failed, and said so."""
        assert self.code != 0, self.output
        assert said in self.output, self.output

    def assert_done(self) -> Self:
        """Fail with the output unless the command succeeded."""
        assert self.code == 0, self.output
        return self


@dataclass
class Project:
    """
    One feature store: a home, its inputs and its clock.

    The folder holds links to the project's own files. Home and inputs have the same relative names
    in every test, so that dbt starts from what is parsed already.

    Attributes:
        folder: A folder of the test's own.
        now: The clock, as FEATURE_STORE_NOW has it.
        variables: dbt vars of every run.
        writes_artifacts: Whether dbt writes manifest.json and its like, for the materializer.
        parses: Whether every command parses, so that it refuses what a user's command would. It
            always does where the files are the store's own.
        root: The project whose files these are.
        shares_parsing: Whether what is parsed here fits every other test; not where models differ.
    """

    shares_parsing: ClassVar[bool] = True

    folder: Path
    now: str = NOW
    variables: dict[str, object] = field(default_factory=dict)
    writes_artifacts: bool = True
    parses: bool = False
    root: Path = ROOT

    def __post_init__(self) -> None:
        """Link the project into the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in PROJECT_FILES:
            link = self.folder / name
            if not link.exists():
                link.symlink_to(self.root / name)

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

    def start(self, *args: str, **variables: object) -> ForkedProcess:
        """Start a dbt command and return its process."""
        used = {**self.variables, **variables}
        flags = () if self.writes_artifacts else ("--no-write-json",)
        request = Request(
            args=[*flags, *args],
            variables=used,
            env=self.env,
            folder=str(self.folder),
            output=str(self.folder / "output.txt"),
            root=str(self.root) if self.shares_parsing else None,
            parses=self.parses or self._has_own_files(),
            parse_variables={k: v for k, v in used.items() if k not in RUN_VARS},
        )
        return ForkedProcess(server_address(), asdict(request))

    def _has_own_files(self) -> bool:
        paths = (self.folder / name for name in ("dbt_project", "dbt_project.yml"))
        return self.folder != self.root and not all(path.is_symlink() for path in paths)

    def dbt(self, *args: str, **variables: object) -> Run:
        """Run a dbt command to its end."""
        kept = self._kept_parsing({**self.variables, **variables})
        parsed = self.target / "partial_parse.msgpack"
        if not self.shares_parsing and kept.exists() and not parsed.exists():
            self.target.mkdir(exist_ok=True)
            shutil.copy(kept, parsed)
        process = self.start(*args, **variables)
        code = process.wait(_TIMEOUT)
        if code is None:
            process.kill_hung()
            code = -signal.SIGKILL
        if not self.shares_parsing and parsed.exists() and not kept.exists():
            shutil.copy(parsed, kept)
        statuses = process.report.get("statuses", {})
        return Run(code, (self.folder / "output.txt").read_text(), statuses)

    def _kept_parsing(self, variables: Mapping[str, object]) -> Path:
        """Return where the next project of these settings finds what dbt parsed of this one."""
        settings = [
            (self.folder / name).read_text() for name in ("dbt_project.yml", "profiles.yml")
        ]
        text = json.dumps([settings, variables], sort_keys=True)
        return _parsing_folder() / f"{hashlib.sha256(text.encode()).hexdigest()}.msgpack"

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

    def sequences(self) -> dict[date, int]:
        """Read of every day of the features which build made it last."""
        return dict(
            self.query(  # type: ignore[arg-type]  # two columns make pairs
                'select day, max("sequence") from feature_store.build_ledger '
                "where model like '%features_daily' group by 1"
            )
        )

    def training(self) -> list[tuple[object, ...]]:
        """Read every training row in order."""
        return self.query("select * from feature_store.training_data order by all")


def python(*args: str) -> list[str]:
    """Make a command line that runs this interpreter."""
    return [sys.executable, *args]
